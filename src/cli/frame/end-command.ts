/** What `stop` and `kill` share: several refs, receipts, and what to say while the ladder runs. */
import type { EndResult } from '../../client/end.ts'
import type { Troupe } from '../../client/troupe.ts'
import type { RunStatus } from '../../protocol/shapes.ts'
import type { CliCommand } from './command.ts'
import { verb } from './command.ts'
import { interruptions } from './interruptions.ts'
import type { Io } from './io.ts'
import { durationOption } from './options.ts'
import { receiptsTable } from '../render/receipts.ts'
import { savedLines } from '../render/ends.ts'
import { watcher } from './watcher.ts'
import { withTroupe } from './with-troupe.ts'

interface Flags {
  force?: boolean
  timeout?: number
}
interface Asked {
  name: 'stop' | 'kill'
  refs: readonly string[]
  flags: Flags
}

/** @returns null at Ctrl-C: who goes does not take the order back */
async function orderedEnds(
  io: Io,
  troupe: Troupe,
  { name, refs, flags: { force, timeout } }: Asked,
): Promise<EndResult[] | null> {
  const { onStatus, onTrouble } = watcher(io, 'done')
  let isOrdered = false
  const options = {
    ...(force === true && { force }),
    ...(timeout !== undefined && { timeoutMs: timeout }),
    onTrouble,
    onStatus(status: RunStatus) {
      isOrdered = true
      onStatus?.(status)
    },
  }
  const interrupts = interruptions()
  const left = new Promise<null>((leave) => interrupts.onInterrupt(() => leave(null)))
  const ends = Promise.all(refs.map((ref) => troupe[name](ref, options)))
  const results = await Promise.race([left, ends]).finally(() => interrupts.close())
  if (results === null) {
    io.status(null)
    const what = isOrdered ? `the ${name} goes on without us` : `interrupted before the ${name} was answered`
    io.stderr(`${what}; how it ends:`, { always: true })
    for (const ref of refs) io.stderr(`  troupe wait ${ref}`, { always: true })
    io.setExit(130)
  }
  return results
}

export function endCommand(name: 'stop' | 'kill', summary: string): CliCommand {
  return {
    name,
    summary,
    register(program, io) {
      verb(program, `${name} <ref...>`, summary)
        .option('--force', 'also end workers whose node is lost, without proof')
        .option('--timeout <time>', 'how long to wait for the receipts', durationOption)
        .action((texts: string[], flags: Flags) =>
          withTroupe(io, async (troupe) => {
            const refs = (
              await Promise.all(
                texts.map(async (text) =>
                  (await troupe.resolve(text, { acts: true })).map((ref) => text.replace(/^[^/]+/, ref.run)),
                ),
              )
            ).flat()
            const results = await orderedEnds(io, troupe, { name, refs, flags })
            if (results === null) return
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
