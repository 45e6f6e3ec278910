/** `troupe context list | use | show | add | remove | export`: which fleet the commands speak to. */
import { access } from 'node:fs/promises'
import { resolve } from 'node:path'
import { addContext, contextText, credsText, removeContext } from '../../client/context-files.ts'
import { findConnection, findContext, type Connection } from '../../client/context.ts'
import { parseCredential, readCredentialFile } from '../../client/credential-file.ts'
import { whenText } from '../../protocol/when-text.ts'
import { exportForNats, writeAuthority } from '../../client/nats-context.ts'
import { Fault } from '../../protocol/faults.ts'
import { currentName, listContexts, useContext } from '../../system/contexts.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { refuseOpenOutput, writeSecret } from '../frame/secret-output.ts'
import { table } from '../render/table.ts'

export const command: CliCommand = {
  name: 'context',
  summary: 'list, show, choose, add and export contexts: which fleet the commands speak to',
  register(program, io) {
    const context = program.command('context').summary(this.summary).description(this.summary)
    const chosen = (name: string | undefined) =>
      findContext({
        home: homeOf(io.env),
        ...((name ?? io.context) !== undefined && { context: name ?? io.context }),
      })

    verb(context, 'list', 'list contexts').action(async () => {
      const home = homeOf(io.env)
      await access(home).catch(() => {
        throw new Fault('CONN', `there is no '${home}'`, { hint: 'start a fleet here with: troupe up' })
      })
      const [contexts, current] = [await listContexts(home), await currentName(home)]
      if (io.json) io.printJson(contexts.map((c) => ({ ...c, current: c.name === current })))
      else if (io.quiet) for (const { name } of contexts) io.stdout(`${name}\n`)
      else
        io.stdout(
          table(
            ['', 'NAME', 'FLEET', 'USER', 'URL'],
            contexts.map((c) => [c.name === current ? '*' : ' ', c.name, c.fleet, c.user, c.url]),
          ),
        )
    })
    verb(context, 'show [name]', 'show the context in use, or one by name').action(
      async (name: string | undefined) => {
        const found = await chosen(name)
        if (io.json) io.printJson(found)
        else if (io.quiet) io.stdout(`${found.name}\n`)
        else
          for (const [key, value] of Object.entries(found)) io.stdout(`${key.padEnd(13)}${String(value)}\n`)
      },
    )
    verb(context, 'use <name>', 'take a context into use').action(async (name: string) => {
      const found = await chosen(name)
      await useContext(homeOf(io.env), found.name)
      if (io.json) io.printJson(found)
      else io.stderr(`using ${found.name}: fleet ${found.fleet} at ${found.url}`)
    })
    verb(
      context,
      'add <file>',
      'add a context from a file that `user add` or `context export` made; - is stdin',
    )
      .option('--name <name>', 'call it so (default: the name of the fleet)')
      .option('--replace', 'write over a context of that name')
      .option('--use', 'take it into use, though another one is')
      .action((file: string, flags: AddFlags) => add(io, file, flags))
    verb(context, 'remove <name>', 'remove a context, and the credential that came with it').action(
      async (name: string) => {
        const found = await chosen(name)
        const { inUse, left } = await removeContext(homeOf(io.env), found)
        if (io.json) io.printJson({ name, inUse, left })
        else
          io.stderr(`${name} is removed${inUse === null ? `; no context is in use. ${nextUse(left)}` : ''}`)
      },
    )
    verb(context, 'export [name]', 'write a context for another machine or program: it holds the credential')
      .option('--creds', 'a .creds file, for any NATS client')
      .option('--nats', 'a context of the nats command line, where that looks for it')
      .option('-o, --output <file>', 'write it to a new file, 0600, rather than to stdout')
      .action((name: string | undefined, flags: ExportFlags) => exportContext(io, name, flags))
  },
}

interface AddFlags {
  name?: string
  replace?: boolean
  use?: boolean
}

async function add(io: Io, file: string, { name, replace = false, use = false }: AddFlags): Promise<void> {
  const read =
    file === '-'
      ? parseCredential(await io.stdin(), 'stdin')
      : await readCredentialFile(resolve(io.cwd, file))
  const added = await addContext(homeOf(io.env), read, { ...(name !== undefined && { name }), replace, use })
  if (io.json) return io.printJson(added)
  if (io.quiet) return io.stdout(`${added.name}\n`)
  const { expires } = read.claims
  const until = expires === null ? '' : `, until ${whenText(expires)}`
  io.stderr(
    `added ${added.name}: fleet ${added.fleet} at ${added.url}, as ${added.user} (${read.file.role})${until}`,
  )
  io.stderr(
    added.current ? 'next: troupe ps' : `another one is in use. next: troupe context use ${added.name}`,
  )
}

function nextUse(left: readonly string[]): string {
  return left.length === 0 ? 'start a fleet here with: troupe up' : `next: troupe context use ${left[0]}`
}

interface ExportFlags {
  creds?: boolean
  nats?: boolean
  output?: string
}

async function exportContext(
  io: Io,
  name: string | undefined,
  { creds, nats, output }: ExportFlags,
): Promise<void> {
  if (creds === true && nats === true) throw new Fault('USAGE', 'either --creds or --nats')
  if (nats === true) return exportNats(io, name)
  const again = ['troupe context export', name ?? '', creds ? '--creds' : ''].filter((word) => word !== '')
  await refuseOpenOutput(io, output, again.join(' '))
  const connection = await connectionOf(io, name)
  await writeSecret(io, output, creds === true ? credsText(connection) : contextText(connection))
  if (output !== undefined)
    if (io.json) io.printJson({ context: connection.name, file: output, ...placeOf(connection) })
    else io.stdout(`${output}\n`)
  if (creds === true) await sayClients(io, connection, output ?? 'FILE')
  else io.stderr(`next, on another machine: troupe context add ${output ?? 'FILE'}`)
}

function connectionOf(io: Io, name: string | undefined): Promise<Connection> {
  const context = name ?? io.context
  return findConnection({ home: homeOf(io.env), ...(context !== undefined && { context }) })
}

function placeOf({ url, fleet, user, credentials }: Connection) {
  return { url, fleet, user, inboxPrefix: credentials.inboxPrefix }
}

/** What a .creds file does not hold, and how three clients are told of it. */
async function sayClients(io: Io, connection: Connection, file: string): Promise<void> {
  const { url, fleet, user, credentials } = connection
  const { inboxPrefix } = credentials
  const ca = await writeAuthority(homeOf(io.env), connection)
  io.stderr(`url: ${url}\ninbox prefix: ${inboxPrefix}${ca === null ? '' : `\nauthority: ${ca}`}`)
  io.stderr(
    `nats-py: nats.connect('${url}', user_credentials='${file}', inbox_prefix=b'${inboxPrefix}'` +
      `${ca === null ? '' : `, tls=ssl.create_default_context(cafile='${ca}')`})`,
  )
  io.stderr(
    `nats.js: connect({ servers: '${url}', authenticator: credsAuthenticator(readFileSync('${file}')), ` +
      `inboxPrefix: '${inboxPrefix}'${ca === null ? '' : `, tls: { caFile: '${ca}' }`} })`,
  )
  io.stderr(
    `nats: nats --server '${url}' --creds '${file}' --inbox-prefix '${inboxPrefix}'` +
      `${ca === null ? '' : ` --tlsca '${ca}'`} ` +
      `request troupe.v1.${fleet}.coordinator.launch.${user} "$(cat DOCUMENT.json)"`,
  )
}

async function exportNats(io: Io, name: string | undefined): Promise<void> {
  const found = await connectionOf(io, name)
  const written = await exportForNats(io.env, found)
  if (io.json) io.printJson(written)
  else io.stdout(`${written.context}\n`)
  io.stderr(
    `written: ${written.file}\n` +
      `next: nats --context ${written.context} sub 'troupe.v1.${found.fleet}.event.>'`,
  )
}
