/**
 * What the agent says of a fork: its report, its facts (numbered by `rev`), its notes in the spool, and the
 * answers that wait for it.
 */
import type { Cause } from '../../protocol/causes.ts'
import { blankReport } from '../../protocol/blank-report.ts'
import { formatHostPort } from '../../protocol/hostport.ts'
import { forkIdOf, parseForkId } from '../../protocol/names.ts'
import type { WorkerWhat } from '../../protocol/table.ts'
import type { FaultBody } from '../../protocol/faults.ts'
import type { ForkNotes } from '../../protocol/fork-notes.ts'
import type { Exit, ForkReport } from '../../protocol/shapes.ts'
import type { AgentState, Fork, Out, Stop } from './agent-state.ts'

function phaseOf(fork: Fork): ForkReport['phase'] {
  if (fork.phase === 'preparing') return 'prepared'
  if ((fork.phase === 'running' || fork.phase === 'starting') && fork.stop !== null) return 'stopping'
  return fork.phase
}

export function reportOf(fork: Fork): ForkReport {
  const { spec, leases } = fork
  return {
    forkId: spec.forkId,
    run: spec.run,
    role: spec.role,
    index: spec.index,
    attempt: spec.attempt,
    phase: phaseOf(fork),
    pid: fork.start?.pid ?? null,
    host: leases?.host ?? null,
    addr: leases !== null && leases.ports.length > 0 ? formatHostPort(leases.host, leases.ports[0]!) : null,
    ports: leases?.ports ?? [],
    rendezvousPort: leases?.rendezvousPort ?? null,
    gpus: leases?.gpus ?? [],
    cores: leases?.cores ?? [],
    preparedAt: leases?.preparedAt ?? null,
    startedAt: fork.start?.startedAt ?? null,
    exitedAt: fork.exitedAt,
    ready: fork.ready,
    readyReason: fork.readyReason,
    exit: fork.exit,
    receipt: fork.receipt,
    stderrTail: fork.stderrTail,
    errorFile: fork.errorFile,
    ranks: fork.ranks.map((rank) => ({ ...rank, exit: rank.exit && sentBy(fork, rank.exit, rank.rank) })),
    logsFinal: fork.logsFinal,
    startFault: fork.startFault,
    ...(fork.startFinal && { startFinal: true }),
    ...(fork.signals.length > 0 && { signals: fork.signals }),
    ...(fork.saved !== undefined && { saved: fork.saved }),
  }
}

/** Whom the end of the root is laid to: not to an order that came when it had ended. */
export function causeOf(stop: Pick<Stop, 'killedBy' | 'afterExit'> | null | undefined): Cause | null {
  return stop == null || stop.afterExit ? null : stop.killedBy
}

/** An end by a signal that a person sent to that process. @param rank  null: the root process */
export function sentBy(
  { signals, stop }: Pick<Fork, 'signals' | 'stop'>,
  exit: Exit,
  rank: number | null,
): Exit {
  if (exit.signal === null || exit.killedBy !== null || causeOf(stop) !== null) return exit
  const aims: readonly unknown[] = rank === null ? ['root', 'tree'] : ['ranks', 'tree', rank]
  const sent = signals.findLast((one) => one.signal === exit.signal && aims.includes(one.to))
  return sent === undefined ? exit : { ...exit, sentBy: sent.by }
}

export function reportsOf(state: AgentState, forkIds: readonly string[]): ForkReport[] {
  return forkIds.map((forkId) => {
    const fork = state.forks.get(forkId)
    // a fork that never was, and by its tombstone never will be
    return fork === undefined ? blankReport(forkId, 'cancelled') : reportOf(fork)
  })
}

/**
 * Facts that are told once: their event id has no number, so that a repetition after a crash is seen as one.
 */
const ONCE: readonly WorkerWhat[] = ['started', 'saved', 'exited', 'gone', 'logs-final', 'cancelled']
export function isOnce(what: WorkerWhat): boolean {
  return ONCE.includes(what)
}

export function stateFact(state: AgentState, fork: Fork, what: WorkerWhat, out: Out): void {
  state.rev++
  const id = `${fork.spec.forkId}.${what}`
  out.push({
    type: 'fact',
    id: isOnce(what) ? id : `${id}.${state.incarnation}-${state.rev}`,
    what,
    rev: state.rev,
    report: reportOf(fork),
  })
}

/** What must be known after the agent died and the spool's own records do not say. */
function notesOf(fork: Fork): Record<string, unknown> & Partial<ForkNotes> {
  return {
    ...(fork.stop?.killedBy != null && {
      stop: {
        killedBy: fork.stop.killedBy,
        signal: fork.stop.signal,
        graceMs: fork.stop.graceMs,
        sent: fork.stop.sent,
        afterExit: fork.stop.afterExit,
      },
    }),
    ...(fork.receipt !== null && { receipt: fork.receipt }),
    ...(fork.startFault !== null &&
      fork.exit !== null && {
        failed: {
          startFault: fork.startFault,
          exit: fork.exit,
          exitedAt: fork.exitedAt,
          final: fork.startFinal,
        },
      }),
    ...(fork.signals.length > 0 && { signals: fork.signals }),
    ...(fork.everReady && fork.spec.ready !== null && { everReady: true }),
    ...(fork.logsFinal !== null && { logsFinal: fork.logsFinal }),
    acked: fork.acked.filter(isOnce),
  }
}

export function note(fork: Fork, out: Out, told = false): void {
  return void out.push({ type: 'note', forkId: fork.spec.forkId, notes: notesOf(fork), told })
}

/** What an order's answer may wait for. */
export type Awaited = `prepare ${string}` | `start ${string}` | `cancel ${string}`

/** It has come about: answer the orders that waited for nothing else. */
export function settle(state: AgentState, awaited: Awaited, out: Out): void {
  for (const [order, waiting] of state.waiting) {
    if (!waiting.left.delete(awaited) || waiting.left.size > 0) continue
    state.waiting.delete(order)
    const forks = reportsOf(state, waiting.forks)
    out.push({
      type: 'reply',
      order,
      body: waiting.token === null ? { forks } : { forks, token: waiting.token },
    })
  }
}

/** It could not come about: the orders that waited for it hear why. */
export function settleFault(state: AgentState, awaited: Awaited, fault: FaultBody, out: Out): void {
  for (const [order, waiting] of state.waiting) {
    if (!waiting.left.has(awaited)) continue
    state.waiting.delete(order)
    out.push({ type: 'fault', order, fault })
  }
}

export function isForkId(forkId: string): boolean {
  const parts = parseForkId(forkId)
  return parts !== null && forkIdOf(parts.run, parts.role, parts.index, parts.attempt) === forkId
}
