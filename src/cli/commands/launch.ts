/** `troupe launch -f FILE`: returns when the run is accepted. `--dry-run` shows what would be done. */
import type { Launched } from '../../client/launch.ts'
import { isFault } from '../../protocol/faults.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { ENV_FROM, type EnvFrom } from '../document/env-from.ts'
import type { ReadDocument } from '../document/document.ts'
import type { Io } from '../frame/io.ts'
import { sayNext } from '../frame/next-steps.ts'
import { choiceOption, durationOption, listOption } from '../frame/options.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export interface LaunchFlags {
  file: string
  set?: string[]
  backend?: string
  envFrom?: EnvFrom
  key?: string
  timeout?: number
  dryRun?: boolean
}

export const command: CliCommand = {
  name: 'launch',
  summary: 'launch a document and return when it is accepted',
  register(program, io) {
    verb(program, 'launch', this.summary)
      .requiredOption('-f, --file <file>', 'the launch document, YAML or JSON; - is stdin')
      .option('--set <path=value>', 'set a value of the document (again for more)', listOption)
      .option('--backend <name>', 'where nodes come from')
      .option(
        '--env-from <words>',
        'what workers get of this shell: path, all or none (default: path on the fleet’s machine)',
        choiceOption(ENV_FROM),
      )
      .option('--key <key>', 'idempotency key: the same key and document give the same run')
      .option('--timeout <time>', 'how long to wait for a coordinator', durationOption)
      .option('--dry-run', 'show the resolved document and the plan; launch nothing')
      .action(async (flags: LaunchFlags) => {
        const { readDocument } = await import('../document/document.ts')
        const read = await readDocument(io, flags)
        if (flags.dryRun === true) return dryRun(io, read)
        await withTroupe(io, async (troupe) => {
          const launched = await troupe.launch(read.document, launchOptions(io, flags))
          if (io.json) io.printJson(launched)
          else io.stdout(`${launched.run}\n`)
          sayLaunched(io, launched)
          if (!io.json) sayNext(io, launched.run, ['logs -f', 'status', 'stop'])
        })
      })
  },
}

export function launchOptions(io: Io, { key, timeout }: Pick<LaunchFlags, 'key' | 'timeout'>) {
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
  if (io.json) return io.printJson(planned ?? { launch, plan: [], placements: [] })
  const { stringify } = await import('yaml')
  for (const line of planned?.plan ?? []) io.stdout(`# ${line}\n`)
  for (const { worker, node } of planned?.placements ?? [])
    io.stdout(`# ${worker} on ${node ?? 'a node that is not there yet'}\n`)
  io.stdout(stringify(planned?.launch ?? launch, { lineWidth: 0 }))
}
