/**
 * Runs whose records the state log will never take: what was decided of them in good faith does not leave.
 * Their askers get the refusal; a queued launch is given back once, and its key then has the answer.
 */
import type { CoordinatorCommand, Fact } from '../../core/coordinator/messages.ts'
import { Fault } from '../../protocol/faults.ts'
import type { StateOp } from '../../protocol/records.ts'
import type { Refused } from '../leadership/leader-term.ts'

export interface UnwritableRuns {
  /** @returns the facts for the coordinator: one for each run that was accepted in these ops */
  note(ops: readonly StateOp[], refused: readonly Refused[]): Fact[]
  /** the refusal of the run that a command is about; undefined: it may leave */
  faultOf(command: CoordinatorCommand): Fault | undefined
}

export function unwritableRuns(log: (fields: Record<string, unknown>) => void): UnwritableRuns {
  const faults = new Map<string, Fault>()
  return {
    note(ops, refused) {
      const accepted = new Set(ops.flatMap((op) => (op.op === 'spec' ? [op.run] : [])))
      const facts: Fact[] = []
      for (const { op, fault } of refused) {
        const run = runOf(op)
        if (run === null || !accepted.has(run)) {
          log({
            level: 'error',
            msg: 'a change is too large for the state log',
            op: op.op,
            run,
            error: fault.message,
          })
          continue
        }
        if (faults.has(run)) continue
        const told = new Fault('REQUEST_INVALID', `the launch cannot be written: ${fault.message}`, {
          data: fault.data,
        })
        faults.set(run, told)
        facts.push({ kind: 'unwritable', run, fault: told.toBody() })
      }
      return facts
    },
    faultOf: (command) => {
      const run = faults.size === 0 ? null : subjectOf(command)
      return run === null ? undefined : faults.get(run)
    },
  }
}

function runOf(op: StateOp): string | null {
  if (op.op === 'run') return op.run.run
  return op.op === 'spec' || op.op === 'role' ? op.run : null
}

function subjectOf(command: CoordinatorCommand): string | null {
  switch (command.kind) {
    case 'reply':
      return 'existing' in command.body ? command.body.run : null
    case 'answer-queued':
      return command.run
    case 'publish':
      return command.row === 'event.run' ? command.body.run : null
    case 'order':
      return command.order.verb === 'prepare' ? (command.order.body.forks[0]?.run ?? null) : null
    default:
      return null
  }
}
