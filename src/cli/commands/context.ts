/** `troupe context list | use | show | export --nats`: which fleet the commands speak to. */
import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { findConnection, findContext } from '../../client/context.ts'
import { Fault } from '../../protocol/faults.ts'
import { atomicWrite } from '../../system/atomic-write.ts'
import { currentName, listContexts, useContext } from '../../system/contexts.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { table } from '../render/table.ts'

export const command: CliCommand = {
  name: 'context',
  summary: 'list, show and choose contexts: which fleet the commands speak to',
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
    verb(context, 'export [name]', 'write a context for another program')
      .requiredOption('--nats', 'for the nats command line')
      .action(async (name: string | undefined) => {
        const found = await chosen(name)
        const written = await exportNats(io, found.name)
        if (io.json) io.printJson(written)
        else io.stdout(`${written.context}\n`)
        io.stderr(
          `written: ${written.file}\nnext: nats --context ${written.context} sub 'troupe.v1.${found.fleet}.event.>'`,
        )
      })
  },
}

/** The form of natscli's own contexts; the seed stands in a file of its own, 0600, under TROUPE_HOME. */
async function exportNats(io: Io, name: string): Promise<{ context: string; file: string; nkey: string }> {
  const home = homeOf(io.env)
  const connection = await findConnection({ home, context: name })
  const base = io.env['XDG_CONFIG_HOME']?.startsWith('/')
    ? io.env['XDG_CONFIG_HOME']
    : join(io.env['HOME'] ?? '/', '.config')
  const context = `troupe-${name}`
  const file = join(base, 'nats', 'context', `${context}.json`)
  const nkey = join(home, 'nats', `${name}.nk`)
  const ca = join(home, 'nats', `${name}.ca.pem`)
  await atomicWrite(nkey, `${connection.credentials.nkeySeed}\n`)
  if (connection.credentials.ca !== undefined) await atomicWrite(ca, connection.credentials.ca)
  const body = {
    description: `Troupe fleet ${connection.fleet}`,
    url: connection.url,
    nkey,
    inbox_prefix: connection.credentials.inboxPrefix,
    ...(connection.credentials.jwt !== undefined && { user_jwt: connection.credentials.jwt }),
    ...(connection.credentials.ca !== undefined && { ca }),
  }
  await atomicWrite(file, `${JSON.stringify(body, null, 2)}\n`)
  return { context, file, nkey }
}
