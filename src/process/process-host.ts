/**
 * The ProcessHost contract: what a node agent asks of the machine it is on. Implementations: linux-host.ts
 * (shim, spool, /proc, leases) and tests/support/sim-host.ts (a simulated process table).
 * tests/contracts/process-host.contract.ts is the shared suite.
 *
 * 1. The spool is the truth: every fact is in it before it is told. `recover` rebuilds all of them after the
 * agent died.
 * 2. `prepare` is all or nothing over the forks given: leases ports, GPUs and cores, makes the spools. It
 * refuses a tombstoned id (CANCELLED), and
 * answers again for an id that it has prepared already (same id, same leases).
 * 3. `start` resolves templates, gives up the bound ports, and spawns the shim. The shim's exclusive `mkdir
 * started` makes a second start
 * of the same id impossible, also across agents; then it reports the one that runs. An exec failure is an
 * exit of 126 or 127.
 * 4. `cancel` writes the tombstone, wins or loses the same `mkdir started`; resolves true when nothing runs
 * and never will.
 * 5. `signalRoot` and `signalTree` are a stop's: one signal to the root process alone, or to everything of
 * the tree once. `killTree` sends SIGKILL to a fixpoint and resolves when nothing is left or nothing more can
 * be done. The shim is spared to the last. None waits for graces: timing is the agent's.
 * 6. `exited` is told once when the root has ended, `empty` once when nothing of the tree is left (with a
 * receipt); `exited` comes first.
 * 7. Leases end when the tree is gone (or a prepare is dropped), never at the order to stop.
 * 8. A fork with `fenceAfter` whose agent says nothing to `renewFences` for T, its grace and a slack is ended
 * without it: dead and frozen agents too. Its stop has the same signals, by the same rule, and the
 * program gets them from one of the two alone.
 * 9. `watchSaved` is asked when a stop begins, before its first signal, of a fork whose role has
 * `stop.saved`: `saved` is told once, when it printed that line since then, and before `exited` or `empty`
 * when it printed it before that. A second call changes nothing. What was printed before does not count.
 * 10. A listener is never called from inside one of the calls.
 */
import type { Prepared, HostEvent, Recovered, SignalResult, Started } from '../protocol/host.ts'
import type { Bindings, ForkSpec } from '../protocol/launch/resolved.ts'
import type { NodeCapacity, SentSignal } from '../protocol/shapes.ts'

export interface ProcessHost {
  capacity(): Promise<NodeCapacity>
  /**
   * takes the spool's lock (ending a stale owner) and rebuilds what is there; forks that run are watched
   * again
   */
  recover(): Promise<Recovered[]>
  /** @throws {Fault} PORT_ALLOC, GPU_ALLOC, SPOOL, WORKER_CONFIG, CANCELLED */
  prepare(forks: readonly ForkSpec[]): Promise<Prepared[]>
  /** lapse or refusal of a prepare: leases are free, the spool is removed unless the fork has started */
  drop(forkId: string): Promise<void>
  /** @throws {Fault} CANCELLED, WORKER_CREATE, WORKER_CONFIG */
  start(forkId: string, bindings: Bindings): Promise<Started>
  cancel(forkId: string): Promise<boolean>
  watchSaved(forkId: string): void
  signalRoot(forkId: string, signal: string): void
  signalTree(forkId: string, signal: string): void
  /** a person's signal; nobody gets it when, without `force`, it would end one who has no handler for it */
  signalOne(forkId: string, signal: string, to: SentSignal['to'], force: boolean): SignalResult
  killTree(forkId: string): Promise<void>
  /** the role's pre-stop call; resolves when it ended or its own timeout passed, never rejects */
  preStop(forkId: string): Promise<void>
  /** the bus answered what was asked so long ago: forks with a fence may go on */
  renewFences(ageMs: number): void
  /** small JSON kept beside the fork; survives the agent */
  note(forkId: string, notes: Record<string, unknown>): Promise<void>
  /** the end is in STATE: leave logs (by retention) and the tombstone, forget the rest */
  release(forkId: string): Promise<void>
  /** processes and resident bytes of the tree, for health */
  measure(forkId: string): Promise<{ processes: number; rssBytes: number }>
  /** directory whose `*` files are the fork's log sources: `stdout`, `stderr`, `r<rank>-stdout`… */
  logDir(forkId: string): string
  onEvent(listener: (event: HostEvent) => void): void
  /** stop watching and give up the lock; workers run on */
  close(): Promise<void>
}
