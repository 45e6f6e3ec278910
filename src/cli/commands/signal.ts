/** `troupe signal REF SIGNAL`: one signal to root processes, or to ranks. */
import { Option } from 'commander'
import type { SignalOptions } from '../../client/end.ts'
import { Fault, isFault } from '../../protocol/faults.ts'
import { SignalAim } from '../../protocol/shapes.ts'
import { parseSignal } from '../../protocol/signals.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { withTroupe } from '../frame/with-troupe.ts'

const OTHERWISE = '--force sends it all the same, --to ranks to the ranks of torchrun alone'

export const command: CliCommand = {
  name: 'signal',
  summary: 'send one signal to the root processes of a run, role or worker; of torchrun to its ranks',
  register(program, io) {
    verb(program, 'signal <ref> <signal>', this.summary)
      .addOption(new Option('--to <who>', 'root, ranks, or tree: all processes').choices(SignalAim.options))
      .option(
        '--force',
        'also to a process that has no handler for it, and will end; without it nobody of its worker gets the ' +
          'signal, and the exit code is 1',
      )
      .action(async (text: string, word: string, options: SignalOptions) => {
        const signal = parseSignal(word)
        if (signal === null)
          throw new Fault('USAGE', `'${word}' is no signal`, { hint: 'write TERM, INT, USR1, RTMIN+1, 10…' })
        await withTroupe(io, async (troupe) => {
          const resolved = await troupe.resolve(text, { acts: true })
          const refs = resolved.map((ref) => text.replace(/^[^/]+/, ref.run))
          const { to, force } = options
          const refused: { worker: string; reason: string }[] = []
          const aim: SignalOptions = {
            ...(to && { to }),
            ...(force && { force }),
            onRefused: (one) => void refused.push(one),
          }
          const workers = await toAll(refs, (ref) => troupe.signal(ref, signal, aim), aim.onRefused!)
          if (refused.length > 0) io.setExit(1)
          if (workers.length === 0) throw new Fault('FAILED', `nothing of ${text} runs: nobody got ${signal}`)
          if (io.json) return io.printJson({ signal, workers, refused })
          if (io.quiet) for (const worker of workers) io.stdout(`${worker}\n`)
          else io.stderr(`${signal} sent to ${workers.join(', ')}`)
          for (const { worker, reason } of refused)
            io.stderr(`not to ${worker}: ${reason}; ${OTHERWISE}`, { always: true })
        })
      })
  },
}

/**
 * A run of which nobody gets it hides none of the others.
 *
 * @throws what the first was refused for, when nobody of any run got it
 */
async function toAll(
  refs: readonly string[],
  send: (ref: string) => Promise<string[]>,
  onRefused: NonNullable<SignalOptions['onRefused']>,
): Promise<string[]> {
  const answers = await Promise.allSettled(refs.map(send))
  const sent = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []))
  const faults = answers.flatMap((answer, at) =>
    answer.status === 'rejected' ? [{ worker: refs[at]!, fault: answer.reason as unknown }] : [],
  )
  for (const { worker, fault } of faults) {
    if (sent.length === 0 || !isFault(fault)) throw fault
    onRefused({ worker, reason: fault.message })
  }
  return sent
}
