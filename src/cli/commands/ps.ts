/** `troupe ps`: runs, newest first. */
import type { RunSummary } from '../../protocol/run-summary.ts'
import { asking, verb, type CliCommand } from '../frame/command.ts'
import { table } from '../render/table.ts'
import { durationText } from '../render/text.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export const command: CliCommand = {
  name: 'ps',
  summary: 'list runs',
  register(program, io) {
    asking(verb(program, 'ps', this.summary))
      .option('-a, --all', 'ended runs too')
      .action((flags: { all?: boolean }) =>
        withTroupe(io, async (troupe) => {
          const runs = await troupe.list({
            all: flags.all === true,
            onPartial: (why) => io.stderr(`not all runs are listed: ${why}`, { always: true }),
          })
          if (io.json) io.printJson(runs)
          else if (io.quiet) for (const run of runs) io.stdout(`${run.run}\n`)
          else io.stdout(runsTable(runs, Date.now()))
        }),
      )
  },
}

export function runsTable(runs: readonly RunSummary[], now: number): string {
  return table(
    ['RUN', 'USER', 'STATE', 'READY', 'AGE', 'REASON'],
    runs.map((run) => [
      run.run,
      run.user,
      run.code === null ? run.state : `${run.state} (${run.code})`,
      `${run.ready}/${run.workers}`,
      durationText(Math.max(0, (run.endedAt ?? now) - run.acceptedAt)),
      run.reason,
    ]),
  )
}
