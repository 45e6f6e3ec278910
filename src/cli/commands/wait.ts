/**
 * `troupe wait REF`: until a point is reached or the run has ended. 0 when the point was reached and holds,
 * else the run's code, or 124.
 */
import { POINTS, type Point } from '../../client/points.ts'
import type { WaitResult } from '../../client/wait.ts'
import type { RunStatus } from '../../protocol/shapes.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { choiceOption, durationOption } from '../frame/options.ts'
import { failureBlock } from '../render/status.ts'
import { watcher } from '../frame/watcher.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export const command: CliCommand = {
  name: 'wait',
  summary: 'wait for a run, role or worker, and exit with its code',
  register(program, io) {
    verb(program, 'wait <ref>', this.summary)
      .option('--for <point>', 'running, ready or done', choiceOption(POINTS), 'done')
      .option('--timeout <time>', 'give up after this, with 124', durationOption)
      .action((text: string, flags: { for: Point; timeout?: number }) =>
        withTroupe(io, async (troupe) => {
          const refs = await troupe.resolve(text)
          const waiting = {
            for: flags.for,
            ...(flags.timeout !== undefined && { timeoutMs: flags.timeout }),
            ...watcher(io, flags.for),
          }
          // `all`: of several runs the first code that is not 0 counts
          const results = await Promise.all(
            refs.map(async (ref) => troupe.wait(text.replace(/^[^/]+/, ref.run), waiting)),
          )
          io.status(null)
          const said = results.map(({ reached, ok, code, status }) => ({
            run: status.run,
            state: status.state,
            reached,
            ok,
            code,
            reason: status.reason,
          }))
          if (io.json) io.printJson(said.length === 1 ? said[0] : said)
          else
            for (const result of results) {
              if (!result.ok)
                for (const line of failureLines(result.status)) io.stderr(line, { always: true })
              io.stdout(`${io.quiet ? result.status.run : endText(result, flags.for)}\n`)
            }
          io.setExit(results.map((result) => result.code).find((code) => code !== 0) ?? 0)
        }),
      )
  },
}

function failureLines(status: RunStatus): string[] {
  return failureBlock(status)
    .split('\n')
    .filter((line) => line !== '')
}

/** What no longer holds is said as it was. */
function endText({ status, reached }: WaitResult, point: Point): string {
  if (point === 'done' || !reached) return `${status.run} ${status.state}`
  return `${status.run} ${status.code === null ? `is ${point}` : `was ${point}, and is ${status.state}`}`
}
