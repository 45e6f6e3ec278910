/**
 * `troupe nodes invite NAME…`: credentials for agents on other machines, minted offline. A credential goes
 * into a file that nobody else can read, never to a terminal.
 */
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import { inviteNodes, type Invited } from '../../fleet/node-credential.ts'
import { findOwnFleet, withFleetLock } from '../../fleet/own-fleet.ts'
import { Fault } from '../../protocol/faults.ts'
import { isLoopbackUrl } from '../../protocol/addresses.ts'
import { whenText } from '../../protocol/when-text.ts'
import { writePrivate } from '../../system/private-file.ts'
import type { Io } from '../frame/io.ts'
import { writeSecret } from '../frame/secret-output.ts'
import { durationText } from '../render/text.ts'

const DEFAULT_MS = 12 * 3600 * 1000

export interface InviteFlags {
  expires?: number
  output?: string
}

export async function invite(
  io: Io,
  names: readonly string[],
  { expires, output }: InviteFlags,
): Promise<void> {
  const line = `troupe nodes invite ${names.join(' ')}`
  if (output === undefined && names.length > 1)
    throw new Fault('USAGE', 'several credentials need a directory', { hint: `${line} -o DIRECTORY` })
  if (output === undefined && io.isTty)
    throw new Fault('USAGE', 'a credential is a secret, and is not written to a terminal', {
      hint: `${line} > ${names[0]}.json`,
    })
  const found = await findOwnFleet(io.env, io.context)
  const made = await withFleetLock(
    found,
    'nodes invite',
    (line) => io.stderr(line),
    () => inviteNodes(found, [...new Set(names)], expires ?? DEFAULT_MS, Date.now()),
  )
  const files = output === undefined ? [] : await writeAll(resolve(io.cwd, output), made)
  if (output === undefined) await writeSecret(io, undefined, made[0]!.text)
  else if (io.json)
    io.printJson(made.map(({ node, expires: ends }, i) => ({ node, file: files[i], expires: ends })))
  else for (const file of files) io.stdout(`${file}\n`)
  sayInvited(io, made, found.context.url, expires)
  io.stderr(`next, on the other machine: troupe agent --credential ${files[0] ?? 'FILE'}`)
}

async function writeAll(output: string, made: readonly Invited[]): Promise<string[]> {
  const isDirectory = made.length > 1 || ((await stat(output).catch(() => null))?.isDirectory() ?? false)
  const files = made.map(({ node }) => (isDirectory ? join(output, `${node}.json`) : output))
  for (const [i, { text }] of made.entries()) await writePrivate(files[i]!, text)
  return files
}

function sayInvited(io: Io, made: readonly Invited[], url: string, lifeMs: number | undefined): void {
  const life = lifeMs === undefined ? '12h, as nothing else was said: --expires 30d' : durationText(lifeMs)
  io.stderr(`${made.map(({ node }) => node).join(', ')}: good until ${whenText(made[0]!.expires)} (${life})`)
  io.stderr(
    'at its end the link ends and the workers run on; a newer file at the same path is taken without a restart',
  )
  if (isLoopbackUrl(url))
    io.stderr(
      `warning: the bus listens on loopback alone (${url}): other machines do not reach it, but by a ` +
        'port-forward. next: troupe up --listen ADDR',
      { always: true },
    )
}
