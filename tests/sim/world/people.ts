/** People of one world: they launch, ask again when they get no answer, stop what runs, and watch. */
import { encode } from '../../../src/protocol/codec.ts'
import { isFault } from '../../../src/protocol/faults.ts'
import type { Target } from '../../../src/protocol/shapes.ts'
import { subjectOf } from '../../../src/protocol/subjects.ts'
import { HEADERS } from '../../../src/protocol/table.ts'
import { messengerOn, type Messenger } from '../../../src/transport/messenger.ts'
import { FLEET } from '../history.ts'
import type { AskPlan, LaunchPlan } from '../plans.ts'
import type { Open } from './rest.ts'
import type { Stage } from './stage.ts'

const USER = 'sim'
const WATCH_MS = 400
const AGAIN = ['CONN', 'TIMEOUT', 'NOT_LEADER', 'OVERLOADED']

export interface People {
  /** launches that have no answer yet */
  readonly pending: ReadonlySet<string>
  /** stop all that runs, again and again */
  sweep(): void
  /** accept the store that was made anew */
  adopt(node: string): Promise<void>
}

/** Stop, kill or signal, tried again while nobody answers. */
function enderOn(messenger: Messenger, later: (ms: number) => Promise<void>) {
  return async (target: Target, verb: AskPlan['verb'], tries: number): Promise<void> => {
    for (let i = 0; i < tries; i++) {
      try {
        if (verb === 'signal')
          await messenger.ask('coordinator.signal', { user: USER }, { ...target, signal: 'SIGUSR1' })
        else
          await messenger.ask(
            verb === 'stop' ? 'coordinator.stop' : 'coordinator.kill',
            { user: USER },
            target,
          )
        return
      } catch (error) {
        if (!isFault(error)) throw error
        if (!error.retryable) return
        await later(500)
      }
    }
  }
}

export function peopleOf(stage: Stage, open: Open): People {
  const { scenario, clock, history, server, strike } = stage
  const bus = server.connect({ name: 'people' })
  const messenger = messengerOn(bus, FLEET, 'json')
  const pending = new Set<string>()
  const runOf = new Map<number, string>()
  const later = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve))

  const end = enderOn(messenger, later)

  /** One try of a launch. @returns false: try it again */
  const tryLaunch = async (plan: LaunchPlan, index: number): Promise<boolean> => {
    const headers: Record<string, string> = plan.key === null ? {} : { [HEADERS.key]: plan.key }
    try {
      if (plan.door === 'durable') {
        await bus.append(subjectOf(FLEET, 'launch', { user: USER }), encode(plan.document, 'json'), {
          headers,
          timeoutMs: 1500,
        })
        return true
      }
      const answer = await messenger.ask('coordinator.launch', { user: USER }, plan.document, {
        headers,
        timeoutMs: 1000,
      })
      history.add({ kind: 'client', launch: index, key: plan.key, answer, fault: null })
      runOf.set(index, answer.run)
      return true
    } catch (error) {
      const again =
        isFault(error) && (AGAIN.includes(error.code) || (error.code === 'PLAN_INVALID' && !stage.calm))
      if (!again) {
        const fault = isFault(error) ? error.code : String(error)
        history.add({ kind: 'client', launch: index, key: plan.key, answer: null, fault })
        if (!isFault(error)) throw error
        return true
      }
      // an append of a launch without a key is not tried again: that would be another launch
      return plan.door === 'durable' && plan.key === null && isFault(error, 'TIMEOUT')
    }
  }
  const launch = async (plan: LaunchPlan, index: number): Promise<void> => {
    const task = `launch ${index}`
    pending.add(task)
    while (!(await tryLaunch(plan, index))) await later(strike.int(200, 600))
    pending.delete(task)
  }
  scenario.launches.forEach((plan, index) => clock.after(plan.at, () => void launch(plan, index)))
  for (const { at, launch: index, verb, ...target } of scenario.asks)
    clock.after(at, () => {
      const run = runOf.get(index) ?? [...open.runs.keys()].at(-1)
      if (run !== undefined) void end({ run, ...target }, verb, 4)
    })
  if (scenario.watched) watch(stage, messenger)
  const people: People = {
    pending,
    sweep() {
      for (const run of open.runs.keys()) void end({ run }, 'stop', 1)
      clock.after(2000, people.sweep)
    },
    async adopt(node) {
      await messenger
        .ask('coordinator.adopt', { user: USER }, { node })
        .catch(() => later(500).then(() => people.adopt(node)))
    },
  }
  return people
}

/** Somebody watches all the time, as `troupe ps` does: whoever answers says that it leads. */
function watch(stage: Stage, messenger: Messenger): void {
  const stopWatching = stage.clock.every(WATCH_MS, () => {
    if (stage.calm) return stopWatching()
    messenger.ask('coordinator.list', { user: USER }, {}, { timeoutMs: 400 }).catch(() => {})
  })
}
