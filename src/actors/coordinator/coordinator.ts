/**
 * The coordinator's actor: performs what core/coordinator decides. Owns the bus, the clock and the state
 * log's term; decides nothing. While it stands by it serves nothing: it has no subscription that a request
 * could reach.
 */
import { COORDINATOR_DEFAULTS, type CoordinatorSettings } from '../../core/coordinator/settings.ts'
import { replayRecent } from '../../transport/replay-recent.ts'
import { messengerOn } from '../../transport/messenger.ts'
import type { StateLog } from '../../transport/state-log.ts'
import { runLeadership } from '../leadership/leadership.ts'
import { serveTerm, type ServedTerm } from './serve-term.ts'
import type { TermOptions } from './term-state.ts'

export interface CoordinatorOptions extends Omit<TermOptions, 'messenger' | 'settings' | 'term' | 'end'> {
  stateLog: StateLog
  settings?: Partial<CoordinatorSettings>
}

/** idle: nothing ran for `idleEndMs`. crashed: a step threw, which is a bug. */
export type CoordinatorEnd = { why: 'stopped' | 'idle' | 'crashed' }

export interface CoordinatorHandle {
  role(): 'standby' | 'leader' | 'stopped'
  /** resigns, so that a standby takes over at once; runs go on */
  stop(): Promise<void>
  readonly ended: Promise<CoordinatorEnd>
}

export function startCoordinator(options: CoordinatorOptions): Promise<CoordinatorHandle> {
  const { bus, fleet, stateLog, incarnation, clock, log } = options
  const settings = { ...COORDINATOR_DEFAULTS, ...options.settings }
  // It lasts longer than a term: a leader that lost its term with the bus still has its last events to tell.
  const replay = replayRecent(messengerOn(bus, fleet), clock)
  let served: ServedTerm | null = null
  let stopped = false
  let tell: (end: CoordinatorEnd) => void
  const ended = new Promise<CoordinatorEnd>((resolve) => (tell = resolve))

  const leave = (): void => {
    served?.close()
    served = null
  }
  const stop = async (why: CoordinatorEnd['why']): Promise<void> => {
    if (stopped) return
    stopped = true
    leave()
    replay.stop()
    await leadership.resign()
    tell({ why })
  }

  const leadership = runLeadership({
    stateLog,
    incarnation,
    clock,
    settings,
    log,
    onLead(term) {
      served = serveTerm({
        ...options,
        messenger: replay.messenger,
        settings,
        term,
        end: (why) => void stop(why),
      })
      // its first step may have thrown
      if (stopped) leave()
    },
    onLeaseBack: () => served?.actor.flush(),
    onDeposed: leave,
  })
  return Promise.resolve({
    role: () => (stopped ? 'stopped' : served === null ? 'standby' : 'leader'),
    stop: () => stop('stopped'),
    ended,
  })
}
