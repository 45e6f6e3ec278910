/**
 * The agent's calls of its process host: one at a time for each fork, in the order in which they were
 * decided, so that a drop never races with the next prepare. Outcomes come back as events. Owns that order
 * and the joining of notes; timing is the step's.
 */
import { isFault, toFault, type FaultBody } from '../../protocol/faults.ts'
import type { AgentCommand, AgentEvent } from '../../core/agent/agent-state.ts'
import type { ProcessHost } from '../../process/process-host.ts'
import type { Clock } from '../../system/clock.ts'
import { forkTurns, type ForkTurns } from './fork-turns.ts'

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
      | 'watch-saved'
      | 'signal-tree'
      | 'signal-root'
      | 'signal-one'
      | 'kill-tree'
      | 'release'
  }
>

export interface AgentHost {
  perform(command: HostCommand): void
}

interface AgentHostOptions {
  host: ProcessHost
  clock: Clock
  post(event: AgentEvent): void
  log(fields: Record<string, unknown>): void
}

interface HostCalls extends AgentHostOptions {
  readonly turns: ForkTurns
  /** Notes that wait for their turn: only the latest of a fork is written. */
  readonly notes: Map<string, { notes: Record<string, unknown>; told: boolean }>
}

export function agentHostOn({ host, clock, post, log }: AgentHostOptions): AgentHost {
  const calls: HostCalls = {
    host,
    clock,
    post,
    log,
    turns: forkTurns((error) => failed(calls, error, 'a call of the process host')),
    notes: new Map(),
  }
  return { perform: (command) => perform(calls, command) }
}

function perform(calls: HostCalls, command: HostCommand): void {
  const { host, turns } = calls
  switch (command.type) {
    case 'prepare':
      return prepare(calls, command)
    case 'start':
      return start(calls, command)
    case 'cancel':
      return cancel(calls, command)
    case 'note':
      return note(calls, command)
    case 'drop':
      return turns.take([command.forkId], () => host.drop(command.forkId))
    case 'release':
      return turns.take([command.forkId], () => host.release(command.forkId))
    case 'pre-stop':
      return void host
        .preStop(command.forkId)
        .then(() => calls.post({ type: 'pre-stopped', forkId: command.forkId, at: calls.clock.now() }))
    case 'kill-tree':
      return void host
        .killTree(command.forkId)
        .catch((error: unknown) => failed(calls, error, `the kill of ${command.forkId}`))
        .then(() => calls.post({ type: 'tree-killed', forkId: command.forkId, at: calls.clock.now() }))
    case 'watch-saved':
    case 'signal-tree':
    case 'signal-root':
    case 'signal-one':
      try {
        return signal(calls, command)
      } catch (error) {
        return failed(calls, error, 'a signal')
      }
  }
}

type CommandOf<T extends HostCommand['type']> = Extract<HostCommand, { type: T }>

function prepare(calls: HostCalls, { token, specs }: CommandOf<'prepare'>): void {
  const { host, clock, post } = calls
  const forkIds = specs.map((spec) => spec.forkId)
  const told = { type: 'prepared', token, forkIds } as const
  calls.turns.take(forkIds, () =>
    host.prepare(specs).then(
      (leases) => post({ ...told, leases, fault: null, at: clock.now() }),
      (error: unknown) =>
        refused(calls, error, (fault) => post({ ...told, leases: null, fault, at: clock.now() })),
    ),
  )
}

function start(calls: HostCalls, { forkId, bindings }: CommandOf<'start'>): void {
  const { host, clock, post } = calls
  const told = { type: 'started', forkId } as const
  calls.turns.take([forkId], () =>
    host.start(forkId, bindings).then(
      (started) => post({ ...told, start: started, fault: null, at: clock.now() }),
      (error: unknown) =>
        refused(calls, error, (fault) => post({ ...told, start: null, fault, at: clock.now() })),
    ),
  )
}

function cancel(calls: HostCalls, { forkId }: CommandOf<'cancel'>): void {
  const { host, clock, post } = calls
  const told = { type: 'cancelled', forkId } as const
  calls.turns.take([forkId], () =>
    host.cancel(forkId).then(
      (proven) => post({ ...told, proven, fault: null, at: clock.now() }),
      (error: unknown) =>
        refused(calls, error, (fault) => post({ ...told, proven: false, fault, at: clock.now() })),
    ),
  )
}

function note(calls: HostCalls, command: CommandOf<'note'>): void {
  const { forkId } = command
  const told = command.told || calls.notes.get(forkId)?.told === true
  calls.notes.set(forkId, { notes: command.notes, told })
  calls.turns.take([forkId], () => writeNotes(calls, forkId))
}

async function writeNotes(calls: HostCalls, forkId: string): Promise<void> {
  const waiting = calls.notes.get(forkId)
  if (waiting === undefined) return
  calls.notes.delete(forkId)
  try {
    await calls.host.note(forkId, waiting.notes)
  } catch (error) {
    // an order is not held up by a full disk: the worst is a cause that is missing after the agent died too
    failed(calls, error, `the notes of ${forkId}`)
  }
  if (waiting.told) calls.post({ type: 'noted', forkId, at: calls.clock.now() })
}

function signal(
  { host, post }: HostCalls,
  command: CommandOf<'watch-saved' | 'signal-tree' | 'signal-root' | 'signal-one'>,
): void {
  if (command.type === 'watch-saved') return host.watchSaved(command.forkId)
  if (command.type === 'signal-tree') return host.signalTree(command.forkId, command.signal)
  if (command.type === 'signal-root') return host.signalRoot(command.forkId, command.signal)
  const { order, forkId, sent, force } = command
  const result = host.signalOne(forkId, sent.signal, sent.to, force)
  post({ type: 'signalled', order, forkId, sent, result })
}

function failed({ post, log }: HostCalls, error: unknown, action: string): void {
  if (isFault(error, 'LOCKED')) return post({ type: 'superseded' })
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  log({ msg: `${action} failed`, error: text })
}

/** A refusal is an outcome, but for one: an agent that does not own the spool any more decides nothing. */
function refused({ post }: HostCalls, error: unknown, tell: (fault: FaultBody) => void): void {
  if (isFault(error, 'LOCKED')) post({ type: 'superseded' })
  else tell(toFault(error, 'WORKER_CREATE').toBody())
}
