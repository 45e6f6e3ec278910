/**
 * State of one term of the coordinator, as its parts share it: the actor, the requests that wait for an
 * answer, the queue of launches. Owns the term's time, and that nothing happens after its end.
 */
import type { CoordinatorCommand, CoordinatorEvent, Fact } from '../../core/coordinator/messages.ts'
import type { CoordinatorSettings } from '../../core/coordinator/settings.ts'
import type { RequestVerb } from '../../protocol/table.ts'
import type { Backend } from '../../backends/backend.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus } from '../../transport/bus.ts'
import type { Messenger, Responder } from '../../transport/messenger.ts'
import type { ActorHandle } from '../kernel.ts'
import type { LeaderTerm } from '../leadership/leader-term.ts'
import type { Archive } from './archive.ts'
import type { BeatClocks } from './beat-clocks.ts'
import type { LaunchQueue } from './launch-queue.ts'
import type { Publisher } from './publisher.ts'
import type { UnwritableRuns } from './unwritable.ts'

export interface TermOptions {
  bus: Bus
  messenger: Messenger
  fleet: string
  /** A ULID, new with each start. */
  incarnation: string
  clock: Clock
  settings: CoordinatorSettings
  /** For the words of `plan`; a launch whose backend is not here gets none. */
  backends?: readonly Backend[]
  term: LeaderTerm
  log(fields: Record<string, unknown>): void
  /** It is called after each step, for tests and the simulator. */
  onStep?(event: CoordinatorEvent, commands: readonly CoordinatorCommand[]): void
  end(why: 'idle' | 'crashed'): void
}

export type CoordinatorResponder = Responder<`coordinator.${RequestVerb}`>

export interface TermState extends TermOptions {
  /** False: the term has ended. */
  open: boolean
  /**
   * While one leads, wall time follows the monotonic clock: setting the machine's clock moves no deadline.
   */
  readonly wallBase: number
  readonly actor: ActorHandle<CoordinatorEvent>
  /** Requests that wait for an answer, by their number. */
  readonly responders: Map<number, CoordinatorResponder>
  readonly clocks: BeatClocks
  readonly publisher: Publisher
  readonly archive: Archive
  readonly unwritable: UnwritableRuns
  /** Null until the fleet's streams are there. */
  queue: LaunchQueue | null
  /** The loss of history is told once. */
  toldLost: boolean
}

/** Unix ms of the term. */
export function wallOf(t: TermState): number {
  return t.wallBase + t.clock.now()
}

export function eventOf(t: TermState, fact: Fact): CoordinatorEvent {
  return { ...fact, now: t.clock.now(), wall: Math.round(wallOf(t)) }
}

export function post(t: TermState, fact: Fact): void {
  if (t.open) t.actor.post(eventOf(t, fact))
}

/** Call `fn` later, if the term still lasts. */
export function after(t: Pick<TermState, 'open' | 'clock'>, ms: number, fn: () => void): void {
  t.clock.after(ms, () => void (t.open && fn()))
}

export function tellLostHistory(t: TermState, text: string): void {
  if (!t.toldLost) post(t, { kind: 'history-lost', text })
  t.toldLost = true
}

/** The responder of a request, once: a request has one answer. */
export function takeResponder(t: TermState, request: number): CoordinatorResponder | undefined {
  const responder = t.responders.get(request)
  t.responders.delete(request)
  return responder
}
