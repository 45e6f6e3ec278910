/** `troupe status RUN`: everything that is known about a run. */
import { verb, type CliCommand } from '../frame/command.ts'
import { statusText } from '../render/status.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export const command: CliCommand = {
  name: 'status',
  summary: 'show a run: its state, first failure, clocks, workers and ranks',
  register(program, io) {
    verb(program, 'status <run>', this.summary).action((ref: string) =>
      withTroupe(io, async (troupe) => {
        const status = await troupe.status(ref)
        if (io.json) io.printJson(status)
        else if (io.quiet) io.stdout(`${status.run}\n`)
        else io.stdout(statusText(status))
      }),
    )
  },
}
