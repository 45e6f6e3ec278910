/**
 * What a machine without Node needs to run an agent: this node binary, the agent's one file, its shim, and a
 * script that starts it, in a directory named after their content. Owns that directory's form. Nothing in it
 * is a secret.
 */
import { createHash } from 'node:crypto'
import { constants, createReadStream, existsSync } from 'node:fs'
import { chmod, copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { buildShim, shimSources } from '../process/shim/build.ts'
import { Fault } from '../protocol/faults.ts'

export interface AgentBundle {
  /** the script that starts the agent */
  program: string
  /** false: it was there */
  written: boolean
  /** what the other machine has to have, or null */
  needs: string | null
}

/** `dirname` would need a PATH. */
const START = `#!/bin/sh
# Starts an agent of Troupe: troupe-agent --credential FILE
here=\${0%/*}
TROUPE_NOFILE=$(ulimit -Sn) exec "$here/node" "$here/troupe.cjs" agent "$@"
`
const PROGRAM = 'troupe-agent'

/**
 * @param dir   several versions stand in it beside each other
 * @param own   the command line's one file
 * @param shims  where shims that were built are kept
 * @throws {Fault} SETUP when it cannot be written, or this is no built command line
 */
export async function writeBundle(
  dir: string,
  own: string,
  shims: string,
  env: Readonly<Record<string, string | undefined>>,
): Promise<AgentBundle> {
  const shim = await buildShim(shims, env)
  const sources: [name: string, from: string, mode: number][] = [
    ['node', process.execPath, 0o755],
    ['troupe.cjs', own, 0o644],
    ...shimSources().map((file): [string, string, number] => [join('shim', basename(file)), file, 0o644]),
    ...(shim.kind === 'c'
      ? [[join('shim', basename(shim.argv[0]!)), shim.argv[0]!, 0o755] as [string, string, number]]
      : []),
  ]
  const needs = shim.kind === 'python' ? 'python3' : await loaderOf(shim.argv[0]!)
  try {
    const home = join(dir, await hashOf(sources))
    const program = join(home, PROGRAM)
    if (existsSync(program)) return { program, written: false, needs }
    await mkdir(dir, { recursive: true })
    const made = await mkdtemp(join(dir, '.bundle-'))
    try {
      await mkdir(join(made, 'shim'))
      for (const [name, from, mode] of sources) {
        await copyFile(from, join(made, name), constants.COPYFILE_FICLONE)
        await chmod(join(made, name), mode)
      }
      await writeFile(join(made, PROGRAM), START, { mode: 0o755 })
      await chmod(made, 0o755)
      await rename(made, home).catch((error: NodeJS.ErrnoException) => {
        // somebody else was faster, with the same content
        if (!existsSync(program)) throw error
      })
    } finally {
      await rm(made, { recursive: true, force: true })
    }
    return { program, written: true, needs }
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const isFull = code === 'ENOSPC' || code === 'EDQUOT'
    throw new Fault(
      'SETUP',
      `no bundle can be written in '${dir}': ${isFull ? 'there is no space left' : message}`,
      {
        cause: error,
      },
    )
  }
}

async function hashOf(sources: readonly [name: string, from: string, mode: number][]): Promise<string> {
  const hash = createHash('sha256').update(START)
  for (const [name, from] of sources) {
    hash.update(`\0${name}\0`)
    await pipeline(createReadStream(from), hash, { end: false })
  }
  return hash.digest('hex').slice(0, 16)
}

/** @returns the loader that a program asks for, or null when it is linked statically */
async function loaderOf(program: string): Promise<string | null> {
  const head = (await readFile(program)).toString('latin1', 0, 4096)
  return /\/lib[\w/.-]*\/ld-[\w.-]+/.exec(head)?.[0] ?? null
}
