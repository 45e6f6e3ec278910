/**
 * `troupe wait REF`: until a point is passed or the run has ended. 0 when the point was passed, else the
 * run's code, or 124.
 */
import { POINTS, type Point } from '../../client/points.ts'
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
          const said = results.map(({ passed, code, status }) => ({
            run: status.run,
            state: status.state,
            passed,
            code,
            reason: status.reason,
          }))
          if (io.json) io.printJson(said.length === 1 ? said[0] : said)
          else
            for (const [i, { status, passed }] of results.entries()) {
              if (!passed || flags.for === 'done')
                for (const line of failureBlock(status).split('\n')) if (line !== '') io.stderr(line)
              // a point that was passed stays passed: what is no longer so is said as it was
              const point =
                status.code === null ? `is ${flags.for}` : `was ${flags.for}, and is ${status.state}`
              io.stdout(
                io.quiet
                  ? `${status.run}\n`
                  : `${status.run} ${flags.for === 'done' || !said[i]!.passed ? status.state : point}\n`,
              )
            }
          io.setExit(results.map((result) => result.code).find((code) => code !== 0) ?? 0)
        }),
      )
  },
}
