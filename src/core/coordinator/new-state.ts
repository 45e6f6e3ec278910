/** The state that a coordinator begins with, from what the log has, and the surroundings of one step. */
import { type Durable, workerKey } from './fold.ts'
import type { Times } from './messages.ts'
import { newRun } from './new-run.ts'
import { newPlaces } from './places.ts'
import type { CoordinatorSettings } from './settings.ts'
import { specOf } from './spec-parts.ts'
import type { CoordinatorState, Ctx } from './types.ts'
import { newWaitQueue } from './wait-queue.ts'

export function contextOf(s: CoordinatorState, { now, wall }: Times): Ctx {
  const { stepWorkersMax } = s.settings
  return { s, now, wall, left: stepWorkersMax, orders: stepWorkersMax, ops: [], lateOps: [], out: [] }
}

export function newState(options: {
  settings: CoordinatorSettings
  incarnation: string
  storeId: string
  durable: Durable
}): CoordinatorState {
  const { durable, settings, incarnation, storeId } = options
  const s: CoordinatorState = {
    settings,
    incarnation,
    storeId,
    runs: new Map(),
    keys: new Map(durable.keys),
    fenced: new Map(durable.fenced),
    drains: new Set(durable.drains),
    nodes: new Map(),
    heard: new Set(),
    away: new Set(),
    gpuOwners: new Map(),
    orders: new Map(),
    dirty: new Set(),
    lazy: new Set(),
    nodeWork: new Set(),
    queue: newWaitQueue(),
    places: newPlaces(),
    stalePlaces: new Set(),
    avoided: new Set(),
    placeDue: false,
    goingOn: false,
    rest: new Set(),
    lazyTimer: false,
    ended: [],
    counter: 0,
    ledAt: 0,
    linkUpAt: 0,
    frozen: false,
    lastLiveAt: 0,
    refusing: new Set(),
    liveWorkers: 0,
    ending: false,
    historyLost: null,
  }
  const folded = [...durable.runs.values()].toSorted((a, b) => a.head.acceptedAt - b.head.acceptedAt)
  for (const { head, workers } of folded) {
    const spec = specOf(durable.specs.get(head.run))
    const roles = durable.roles.get(head.run)
    if (spec === null || roles === undefined) continue
    s.runs.set(
      head.run,
      newRun(structuredClone(head), spec, [...roles.values()], (role, index) =>
        structuredClone(workers.get(workerKey(role, index))),
      ),
    )
  }
  return s
}
