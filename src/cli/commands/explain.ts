/** `troupe explain REF`: which clock is ticking and why; cause and next check. */
import { verb, type CliCommand } from '../frame/command.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export const command: CliCommand = {
  name: 'explain',
  summary: 'say why a run, role or worker is where it is, and what to look at next',
  register(program, io) {
    verb(program, 'explain <ref>', this.summary).action((ref: string) =>
      withTroupe(io, async (troupe) => {
        const lines = await troupe.explain(ref)
        if (io.json) return io.printJson(lines)
        for (const { subject, text, next } of lines) {
          io.stdout(`${io.paint('bold', subject, 'stdout')}  ${text}\n`)
          if (next !== null) io.stdout(`  next: ${next}\n`)
        }
      }),
    )
  },
}
