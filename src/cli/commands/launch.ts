/**
 * `troupe launch -f FILE` or `troupe launch -- CMD`: returns when the run is accepted. `--dry-run` shows what
 * would be done.
 */
import type { Launched } from '../../client/launch.ts'
import type { Troupe } from '../../client/troupe.ts'
import { isFault } from '../../protocol/faults.ts'
import { askedDocument, askedOptions, type AskedFlags } from '../document/asked-document.ts'
import { asking, verb, type CliCommand } from '../frame/command.ts'
import type { ReadDocument } from '../document/document.ts'
import type { Io } from '../frame/io.ts'
import { sayHelp, sayNext } from '../frame/next-steps.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export const command: CliCommand = {
  name: 'launch',
  summary: 'launch a document or a command, and return when it is accepted',
  register(program, io) {
    askedOptions(asking(verb(program, 'launch [command...]', this.summary)))
      .option('--dry-run', 'show the resolved document and the plan; launch nothing')
      .action(async (argv: string[], flags: AskedFlags & { dryRun?: boolean }) => {
        const read = await askedDocument(io, 'launch', argv, flags)
        if (flags.dryRun === true) return dryRun(io, read)
        await withTroupe(io, (troupe) => launchAndLeave(io, troupe, read, flags))
      })
  },
}

/** Return when it is accepted: `launch`, and `run --detach`. */
export async function launchAndLeave(
  io: Io,
  troupe: Troupe,
  { document }: ReadDocument,
  flags: AskedFlags,
): Promise<void> {
  const launched = await troupe.launch(document, launchOptions(io, flags))
  if (io.json) io.printJson(launched)
  else io.stdout(`${launched.run}\n`)
  sayLaunched(io, launched)
  if (flags.file !== '-') await io.sayUnreadStdin()
  if (io.json || io.quiet) return
  sayNext(io, launched.run, ['logs -f', 'status', 'stop'])
  await sayWhyItWaits(io, troupe, launched.run)
}

/** It is accepted: what cannot be read now is no failure of the launch. */
async function sayWhyItWaits(io: Io, troupe: Troupe, run: string): Promise<void> {
  const status = await troupe.status(run).catch(() => null)
  if (status !== null) sayHelp(io, status)
}

export function launchOptions(io: Io, { key, timeout }: Pick<AskedFlags, 'key' | 'timeout'>) {
  return {
    ...(key !== undefined && { key }),
    ...(timeout !== undefined && { timeoutMs: timeout }),
    onDurable: (kept: string) =>
      io.stderr(`no coordinator answers: the launch is kept on the bus (key ${kept}) until one comes`),
  }
}

export function sayLaunched(io: Io, { run, existing }: Launched): void {
  if (existing) io.stderr(`${run} was launched before with this key`)
}

async function dryRun(io: Io, { document, launch }: ReadDocument): Promise<void> {
  const planned = await withTroupe(io, (troupe) => troupe.plan(document)).catch((error: unknown) => {
    if (!isFault(error) || !['CONN', 'TIMEOUT', 'NOT_LEADER'].includes(error.code)) throw error
    io.stderr(`nodes are unknown: ${error.message}`)
    return null
  })
  const { graceNotes } = await import('../document/grace-notes.ts')
  for (const note of await graceNotes(io, launch)) io.stderr(`note: ${note}`)
  if (io.json) return io.printJson(planned ?? { launch, plan: [], placements: [] })
  const { stringify } = await import('yaml')
  for (const line of planned?.plan ?? []) io.stdout(`# ${line}\n`)
  for (const { worker, node } of planned?.placements ?? [])
    io.stdout(`# ${worker} on ${node ?? 'a node that is not there yet'}\n`)
  io.stdout(stringify(planned?.launch ?? launch, { lineWidth: 0 }))
}
