/** `troupe signal REF SIGNAL`: one signal to root processes, or to ranks. */
import { Fault } from '../../protocol/faults.ts'
import { parseSignal } from '../../protocol/signals.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export const command: CliCommand = {
  name: 'signal',
  summary: 'send one signal to the processes of a run, role or worker, or to a rank',
  register(program, io) {
    verb(program, 'signal <ref> <signal>', this.summary).action(async (text: string, word: string) => {
      const signal = parseSignal(word)
      if (signal === null)
        throw new Fault('USAGE', `'${word}' is no signal`, { hint: 'write TERM, INT, USR1…' })
      await withTroupe(io, async (troupe) => {
        const refs = (await troupe.resolve(text, { acts: true })).map((ref) =>
          text.replace(/^[^/]+/, ref.run),
        )
        const workers = (await Promise.all(refs.map((ref) => troupe.signal(ref, signal)))).flat()
        if (workers.length === 0) throw new Fault('FAILED', `nothing of ${text} runs: nobody got ${signal}`)
        if (io.json) io.printJson({ signal, workers })
        else if (io.quiet) for (const worker of workers) io.stdout(`${worker}\n`)
        else io.stderr(`${signal} sent to ${workers.join(', ')}`)
      })
    })
  },
}
