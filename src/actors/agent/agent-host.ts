/**
 * The agent's calls of its process host: one at a time for each fork, in the order in which they were
 * decided, so that a drop never races with the next prepare. Outcomes come back as events. Owns that order
 * and the joining of notes; timing is the step's.
 */
import { isFault, toFault } from '../../protocol/faults.ts'
import type { AgentCommand, AgentEvent } from '../../core/agent/agent-state.ts'
import type { ProcessHost } from '../../process/process-host.ts'
import type { Clock } from '../../system/clock.ts'

export type HostCommand = Extract<
  AgentCommand,
  {
    type:
      | 'prepare'
      | 'drop'
      | 'start'
      | 'cancel'
      | 'note'
      | 'pre-stop'
      | 'signal-tree'
      | 'signal-one'
      | 'kill-tree'
      | 'release'
  }
>

export interface AgentHost {
  perform(command: HostCommand): void
}

export function agentHostOn(options: {
  host: ProcessHost
  clock: Clock
  post(event: AgentEvent): void
  log(fields: Record<string, unknown>): void
}): AgentHost {
  const { host, clock, post, log } = options
  const lanes = new Map<string, Promise<unknown>>()
  /** notes that wait for their turn: only the latest of a fork is written */
  const notes = new Map<string, { notes: Record<string, unknown>; told: boolean }>()

  const inTurn = (forkIds: readonly string[], work: () => Promise<unknown>): void => {
    const before = forkIds.flatMap((forkId) => lanes.get(forkId) ?? [])
    const turn = (before.length === 0 ? work() : Promise.all(before).then(work)).catch((error: unknown) =>
      failed(error, 'a call of the process host'),
    )
    for (const forkId of forkIds) lanes.set(forkId, turn)
    void turn.then(() => {
      for (const forkId of forkIds) if (lanes.get(forkId) === turn) lanes.delete(forkId)
    })
  }
  const failed = (error: unknown, what: string): void => {
    if (isFault(error, 'LOCKED')) post({ type: 'superseded' })
    else
      log({
        msg: `${what} failed`,
        error: error instanceof Error ? (error.stack ?? error.message) : String(error),
      })
  }
  /** A refusal is an outcome, but for one: who does not own the spool any more decides nothing. */
  const refused = (
    error: unknown,
    tell: (fault: ReturnType<ReturnType<typeof toFault>['toBody']>) => void,
  ): void => {
    if (isFault(error, 'LOCKED')) post({ type: 'superseded' })
    else tell(toFault(error, 'WORKER_CREATE').toBody())
  }

  const writeNotes = async (forkId: string): Promise<void> => {
    const waiting = notes.get(forkId)
    if (waiting === undefined) return
    notes.delete(forkId)
    try {
      await host.note(forkId, waiting.notes)
    } catch (error) {
      // an order is not held up by a full disk: the worst is a cause that is missing after the agent died too
      failed(error, `the notes of ${forkId}`)
    }
    if (waiting.told) post({ type: 'noted', forkId, at: clock.now() })
  }

  return {
    perform(command) {
      switch (command.type) {
        case 'prepare': {
          const { token, specs } = command
          const forkIds = specs.map((spec) => spec.forkId)
          const told = { type: 'prepared', token, forkIds } as const
          return inTurn(forkIds, () =>
            host.prepare(specs).then(
              (leases) => post({ ...told, leases, fault: null, at: clock.now() }),
              (error: unknown) =>
                refused(error, (fault) => post({ ...told, leases: null, fault, at: clock.now() })),
            ),
          )
        }
        case 'start': {
          const { forkId } = command
          const told = { type: 'started', forkId } as const
          return inTurn([forkId], () =>
            host.start(forkId, command.bindings).then(
              (start) => post({ ...told, start, fault: null, at: clock.now() }),
              (error: unknown) =>
                refused(error, (fault) => post({ ...told, start: null, fault, at: clock.now() })),
            ),
          )
        }
        case 'cancel': {
          const { forkId } = command
          const told = { type: 'cancelled', forkId } as const
          return inTurn([forkId], () =>
            host.cancel(forkId).then(
              (proven) => post({ ...told, proven, fault: null, at: clock.now() }),
              (error: unknown) =>
                refused(error, (fault) => post({ ...told, proven: false, fault, at: clock.now() })),
            ),
          )
        }
        case 'note': {
          const told = command.told || notes.get(command.forkId)?.told === true
          notes.set(command.forkId, { notes: command.notes, told })
          return inTurn([command.forkId], () => writeNotes(command.forkId))
        }
        case 'drop':
          return inTurn([command.forkId], () => host.drop(command.forkId))
        case 'release':
          return inTurn([command.forkId], () => host.release(command.forkId))
        case 'pre-stop':
          return void host
            .preStop(command.forkId)
            .then(() => post({ type: 'pre-stopped', forkId: command.forkId, at: clock.now() }))
        case 'kill-tree':
          return void host
            .killTree(command.forkId)
            .catch((error: unknown) => failed(error, `the kill of ${command.forkId}`))
            .then(() => post({ type: 'tree-killed', forkId: command.forkId, at: clock.now() }))
        case 'signal-tree':
          return guarded(() => host.signalTree(command.forkId, command.signal))
        case 'signal-one':
          return guarded(() =>
            post({
              type: 'signalled',
              order: command.order,
              forkId: command.forkId,
              found: host.signalOne(command.forkId, command.signal, command.rank),
            }),
          )
      }
    },
  }

  function guarded(work: () => void): void {
    try {
      work()
    } catch (error) {
      failed(error, 'a signal')
    }
  }
}
