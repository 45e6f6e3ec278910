/**
 * One simulated operating-system process that runs a real actor: it can be killed between any two of its
 * effects, frozen and thawed. Everything that reaches the actor passes `enter`, everything that it does
 * passes `effect`; a killed one goes on computing, unheard.
 */
import type { Clock } from '../../src/system/clock.ts'
import type { ConnectionHooks } from './memory-bus/faults.ts'

export interface SimProcess {
  readonly name: string
  readonly alive: boolean
  readonly frozen: boolean
  /** the machine's monotonic and wall clock as this process reads them */
  readonly clock: Clock
  readonly hooks: ConnectionHooks
  /** inputs that wait for the thaw */
  readonly buffered: number
  enter(run: () => void): void
  /** asked before each effect; false: the process is dead and the effect does not happen */
  effect(label: string): boolean
  /** kill -9 just before the first effect for which this says true */
  crashBefore(when: ((label: string) => boolean) | null): void
  kill(): void
  freeze(): void
  thaw(): void
  /** told once; `before` is the effect that a crash fell before */
  onEnd(run: (before: string | null) => void): void
}

export function simProcess(options: {
  name: string
  clock: Clock
  nowOffset: number
  wallOffset: number
  onEffect?: (label: string) => void
  onThrow?: (error: unknown) => void
}): SimProcess {
  const { name, clock } = options
  let state: 'running' | 'frozen' | 'thawing' | 'dead' = 'running'
  let crash: ((label: string) => boolean) | null = null
  let buffer: (() => void)[] = []
  const endings: ((before: string | null) => void)[] = []

  const enter = (run: () => void): void => {
    if (state === 'running') guarded(run)
    else if (state !== 'dead') buffer.push(run)
  }
  const pump = (): void => {
    if (state !== 'thawing') return
    const run = buffer.shift()
    if (run === undefined) return void (state = 'running')
    clock.after(0, pump)
    guarded(run)
  }
  /** a program that throws dies of it */
  const guarded = (run: () => void): void => {
    try {
      run()
    } catch (error) {
      if (options.onThrow === undefined) throw error
      options.onThrow(error)
      kill()
    }
  }
  const kill = (before: string | null = null): void => {
    if (state === 'dead') return
    state = 'dead'
    buffer = []
    for (const run of endings) run(before)
  }
  const effect = (label: string): boolean => {
    if (state === 'dead') return false
    if (crash?.(label)) {
      kill(label)
      return false
    }
    options.onEffect?.(label)
    return true
  }
  const after = (ms: number, fn: () => void): void => clock.after(ms, () => enter(fn))

  return {
    name,
    get alive() {
      return state !== 'dead'
    },
    get frozen() {
      return state === 'frozen'
    },
    get buffered() {
      return buffer.length
    },
    clock: {
      now: () => clock.now() + options.nowOffset,
      wall: () => clock.wall() + options.wallOffset,
      after,
      every(ms, fn) {
        let stopped = false
        const again = (): void => {
          if (stopped || state === 'dead') return
          after(ms, again)
          fn()
        }
        after(ms, again)
        return () => void (stopped = true)
      },
    },
    hooks: { enter, leave: (what, subject) => effect(`bus.${what} ${subject}`) },
    enter,
    effect,
    crashBefore: (when) => void (crash = when),
    kill: () => kill(),
    freeze: () => void (state === 'running' && (state = 'frozen')),
    thaw() {
      if (state !== 'frozen') return
      state = 'thawing'
      clock.after(0, pump)
    },
    onEnd: (run) => void endings.push(run),
  }
}
