/** What `stop` and `kill` share: several refs, receipts, and what to say while the ladder runs. */
import type { EndResult } from '../../client/end.ts'
import type { CliCommand } from './command.ts'
import { verb } from './command.ts'
import { durationOption } from './options.ts'
import { receiptsTable } from '../render/receipts.ts'
import { savedLines } from '../render/saved.ts'
import { watcher } from './watcher.ts'
import { withTroupe } from './with-troupe.ts'

export function endCommand(name: 'stop' | 'kill', summary: string): CliCommand {
  return {
    name,
    summary,
    register(program, io) {
      verb(program, `${name} <ref...>`, summary)
        .option('--force', 'also end workers whose node is lost, without proof')
        .option('--timeout <time>', 'how long to wait for the receipts', durationOption)
        .action((texts: string[], flags: { force?: boolean; timeout?: number }) =>
          withTroupe(io, async (troupe) => {
            const refs = (
              await Promise.all(
                texts.map(async (text) =>
                  (await troupe.resolve(text, { acts: true })).map((ref) => text.replace(/^[^/]+/, ref.run)),
                ),
              )
            ).flat()
            const options = {
              ...(flags.force === true && { force: true }),
              ...(flags.timeout !== undefined && { timeoutMs: flags.timeout }),
              ...watcher(io, 'done'),
            }
            const results = await Promise.all(refs.map((ref) => troupe[name](ref, options)))
            const receipts = results.flatMap((result) => result.receipts)
            io.status(null)
            if (io.json) io.printJson({ receipts })
            else if (io.quiet) for (const { worker } of receipts) io.stdout(`${worker}\n`)
            else if (receipts.length > 0)
              io.stdout(receiptsTable(receipts) + results.flatMap(savedLinesOf).join(''))
            else io.stderr('nothing was running')
            if (receipts.some(({ outcome }) => outcome === 'survivors')) io.setExit(1)
          }),
        )
    },
  }
}

function savedLinesOf({ status, receipts }: EndResult): string[] {
  const ended = new Set(receipts.map(({ worker }) => worker))
  const workers = status.workers.filter(({ worker }) => ended.has(worker))
  return savedLines(status, workers).map((line) => `${line}\n`)
}
