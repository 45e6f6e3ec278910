/**
 * One seed, played: a bus, coordinators, machines with agents, people, and the faults of its scenario, on one
 * thread and a manual clock. The actors are the real ones; what is simulated is below them. Ends when
 * everything came to rest, or patience ends.
 */
import { messengerOn } from '../../src/transport/messenger.ts'
import { memoryServer, type MemoryServer } from '../support/memory-bus/memory-bus.ts'
import type { MemoryConnection } from '../support/memory-bus/connection.ts'
import type { Traffic } from '../support/memory-bus/faults.ts'
import { isFault } from '../../src/protocol/faults.ts'
import { readOrderHeaders } from '../../src/protocol/order-headers.ts'
import { subjectOf } from '../../src/protocol/subjects.ts'
import { encode } from '../../src/protocol/codec.ts'
import { HEADERS, streamOf } from '../../src/protocol/table.ts'
import { ulid } from '../../src/system/ulid.ts'
import { manualClock } from '../support/manual-clock.ts'
import { randomOf } from '../support/random.ts'
import { simMachine, type SimMachine } from '../support/sim-host.ts'
import { logSize, type LogMarks } from '../support/sim-log-store.ts'
import { simProcess, type SimProcess } from '../support/sim-process.ts'
import { startAgent, startCoordinator, PREPARE_LAPSE_MS, STATE_ENTRIES_MAX } from './assembly.ts'
import { check, type Violation } from './checker.ts'
import { simDisk } from './disk.ts'
import { FLEET, historyOn, type Fact, type History, type WorkerEventBody } from './history.ts'
import type { CrashPoint, FaultPlan, LaunchPlan, Scenario } from './scenarios.ts'
import { situationsOf, type Situation } from './situations.ts'

/** people stop what still runs so long after the faults, and the fleet has so long to come to rest */
const SWEEP_AFTER_MS = 2500
const PATIENCE_MS = 90_000
const USER = 'sim'
const WATCH_MS = 400

const CRASH_POINTS: Record<CrashPoint, RegExp> = {
  any: /./,
  prepare: /^bus\.request .*\.prepare$/,
  start: /^bus\.request .*\.start$/,
  kill: /^bus\.request .*\.(kill|cancel)$/,
  release: /^bus\.request .*\.release$/,
  respond: /^bus\.respond /,
  state: /^bus\.append .*\.state$/,
  'queue-ack': /^bus\.ack /,
  event: /^bus\.append .*\.event\./,
  log: /^bus\.append .*\.log\./,
  'host.prepare': /^host\.prepare/,
  'host.start': /^host\.start /,
  'host.note': /^host\.note /,
  'host.kill': /^host\.(kill|signal)/,
}

interface Slot {
  role: 'coordinator' | 'agent'
  index: number
  count: number
  process: SimProcess | null
  bus: MemoryConnection | null
  logBus: MemoryConnection | null
  incarnation: string
  /** how long it stays down after its next end */
  downMs: number
}

export interface Outcome {
  seed: number
  facts: readonly Fact[]
  violations: Violation[]
  situations: Set<Situation>
  simulatedMs: number
}

export async function play(
  scenario: Scenario,
  options: { trace?: (line: string) => void } = {},
): Promise<Outcome> {
  const random = randomOf(scenario.seed)
  const clock = manualClock()
  const noise = random.fork('noise')
  const strike = random.fork('strike')
  const started = clock.now()
  const now = (): number => clock.now() - started
  const crashes: Violation[] = []
  let calm = false

  // — the history, and what the world itself must know from it to judge rest —
  const open: Open = {
    runs: new Map(),
    forks: new Map(),
    trees: new Map(),
    untold: new Map(),
    known: new Set(),
    lost: new Set(),
  }
  let leaderIncarnation = ''
  const history: History = historyOn(now, (fact) => {
    options.trace?.(describe(fact))
    track(open, fact)
    if (fact.kind === 'state') leaderIncarnation = fact.entry.writer
    if (fact.kind === 'order-answer') haunt(fact)
  })

  const disk = simDisk(clock, () => history)
  const server: MemoryServer = memoryServer(clock, {
    disk: () => disk.now(),
    hopMs: () => noise.int(1, 2),
    copies: ({ subject }) => {
      if (calm) return [0]
      const roll = noise.next()
      const { loss, copy, late } = scenario.noise
      if (roll < loss) {
        history.answerLost(subject)
        return []
      }
      if (roll < loss + copy) return [0, noise.int(0, 9000)]
      return roll < loss + copy + late ? [noise.int(10, 4000)] : [0]
    },
    call: (kind, from, subject) => {
      if (calm) return 'done'
      const roll = noise.next()
      if (roll < scenario.noise.ackLost) {
        if (kind === 'append') history.add({ kind: 'ack-lost', from, subject })
        return 'answer-lost'
      }
      return roll < scenario.noise.ackLost + scenario.noise.callLost ? 'lost' : 'done'
    },
  })
  const slots: Slot[] = []
  const slotOf = (name: string | null): Slot | undefined => slots.find((slot) => slot.process?.name === name)
  const orders = new Map<string, Traffic[]>()
  server.observe((traffic) => {
    history.traffic(traffic, (name) => slotOf(name)?.process?.frozen ?? false)
    if (
      scenario.ghosts &&
      traffic.what === 'message' &&
      traffic.from !== 'ghost' &&
      /\.(prepare|start|kill|cancel)$/.test(traffic.subject)
    ) {
      const place = traffic.subject.split('.').slice(0, 6).join('.')
      orders.set(place, [...(orders.get(place) ?? []), traffic].slice(-6))
    }
  })

  // — machines and actors —
  const machines = Array.from({ length: scenario.nodes }, (_, i): SimMachine => {
    const node = `n${i}`
    return simMachine({
      node,
      clock,
      random: random.fork(`machine ${node}`),
      cpus: 8,
      gpus: 2,
      tell: (fact) => history.add({ kind: 'machine', node, ...fact }),
    })
  })
  const marks: LogMarks[] = machines.map(() => new Map())
  const stores = machines.map(() => ({ memory: { epoch: null } }))
  const skews = Array.from({ length: scenario.nodes + scenario.coordinators }, (_, i) => ({
    now: random.int(1000, 5_000_000),
    wall: i < scenario.nodes && random.chance(0.2) ? random.int(-3_600_000, 3_600_000) : random.int(-40, 40),
  }))

  let coordinatorsBackAt = 0
  const up = (slot: Slot): void => {
    const wait = slot.role === 'coordinator' ? coordinatorsBackAt - now() : 0
    if (wait > 0) return clock.after(wait, () => void (slot.process === null && up(slot)))
    const incarnation = ulid(
      clock.wall(),
      Uint8Array.from({ length: 10 }, () => random.int(0, 255)),
    )
    const name = `${slot.role === 'agent' ? 'n' : 'c'}${slot.index}#${++slot.count}`
    const skew = skews[slot.role === 'agent' ? slot.index : scenario.nodes + slot.index]!
    let lastLabel = ''
    const process = simProcess({
      name,
      clock,
      nowOffset: skew.now,
      wallOffset: skew.wall,
      onEffect: (label) => note(label),
      onThrow: (error) =>
        void crashes.push({
          invariant: 'no actor throws',
          at: now(),
          text: `${name}: ${(error as Error).stack ?? error}`,
        }),
    })
    const bus = server.connect({ name, clock: process.clock, hooks: process.hooks })
    const logBus =
      slot.role === 'agent'
        ? server.connect({ name: `${name}/logs`, clock: process.clock, hooks: process.hooks })
        : null
    const note = (label: string): void => {
      lastLabel = label
      if (label.startsWith('bus.publish') && !bus.connected)
        history.add({ kind: 'dropped-unconnected', from: name, subject: label.slice(12) })
    }
    Object.assign(slot, { process, bus, logBus, incarnation, downMs: strike.int(200, 1500) })
    history.add({
      kind: 'process',
      what: 'up',
      name,
      role: slot.role,
      slot: slot.index,
      incarnation,
      before: null,
    })
    process.onEnd((before) => {
      bus.sever()
      logBus?.sever()
      if (before?.startsWith('bus.respond ')) history.answerLost(before.slice(12))
      history.add({
        kind: 'process',
        what: 'killed',
        name,
        role: slot.role,
        slot: slot.index,
        incarnation,
        before: before ?? (lastLabel === '' ? null : `after ${lastLabel}`),
      })
      if (slot.process !== process) return
      slot.process = null
      clock.after(calm ? 200 : slot.downMs, () => void (slot.process === null && up(slot)))
    })
    // whatever ends by itself is ended: a supervisor outside starts it again
    const ended = (): void => process.kill()
    const common = {
      fleet: FLEET,
      incarnation,
      process,
      bus,
      ended,
      random: random.fork(name),
      trace: options.trace,
    }
    const starting =
      slot.role === 'coordinator'
        ? startCoordinator(common)
        : startAgent({
            ...common,
            node: `n${slot.index}`,
            logBus: logBus!,
            machine: machines[slot.index]!,
            marks: marks[slot.index]!,
            store: stores[slot.index]!,
            orphanAfterMs: scenario.orphanAfterMs,
          })
    starting.then(
      () => {},
      (error: unknown) => {
        options.trace?.(`${name} could not start: ${(error as Error).message}`)
        process.kill()
      },
    )
  }
  const addSlot = (role: Slot['role'], index: number): void => {
    const slot: Slot = {
      role,
      index,
      count: 0,
      process: null,
      bus: null,
      logBus: null,
      incarnation: '',
      downMs: 500,
    }
    slots.push(slot)
    clock.after(random.int(0, 300), () => up(slot))
  }
  for (let i = 0; i < scenario.coordinators; i++) addSlot('coordinator', i)
  for (let i = 0; i < scenario.nodes; i++) addSlot('agent', i)
  const slotAt = (role: Slot['role'], index: number | 'leader'): Slot | undefined =>
    slots.find(
      (slot) =>
        slot.role === role &&
        (index === 'leader' ? slot.incarnation === leaderIncarnation : slot.index === index),
    ) ?? slots.find((slot) => slot.role === role)

  /**
   * A coordinator that stopped between its check and its send, and does not know: an old order, with a time
   * that is good.
   */
  const ghost = server.connect({ name: 'ghost' })
  const haunted = new Set<string>()
  const haunt = (fact: Extract<Fact, { kind: 'order-answer' }>): void => {
    const { to } = fact
    if (calm || !fact.ok || to.epoch === null || ['inventory', 'adopt'].includes(to.verb)) return
    const place = subjectOf(FLEET, 'node.kill', { node: to.node, incarnation: to.incarnation })
      .split('.')
      .slice(0, 6)
      .join('.')
    const slot = slotAt('agent', Number(to.node.slice(1)))
    for (const old of orders.get(place) ?? []) {
      const epoch = old.headers[HEADERS.epoch]
      const id = `${old.reply} ${to.epoch.n}`
      if (
        epoch === undefined ||
        epoch === `${to.epoch.storeId}/${to.epoch.n}` ||
        !epoch.startsWith(`${to.epoch.storeId}/`) ||
        Number(epoch.split('/')[1]) > to.epoch.n ||
        haunted.has(id)
      )
        continue
      haunted.add(id)
      clock.after(strike.int(20, 800), () => {
        const tick = slot?.process?.clock.now() ?? readOrderHeaders(old.headers).notAfter ?? 0
        ghost
          .request(old.subject, old.body, {
            headers: { ...old.headers, [HEADERS.notAfter]: String(tick + 2000) },
            timeoutMs: 1000,
          })
          .catch(() => {})
      })
    }
  }

  // — people —
  const people = server.connect({ name: 'people' })
  const messenger = messengerOn(people, FLEET, 'json')
  const pending = new Set<string>()
  const runOf = new Map<number, string>()
  const later = (ms: number): Promise<void> => new Promise((resolve) => clock.after(ms, resolve))
  const launch = async (plan: LaunchPlan, index: number): Promise<void> => {
    const task = `launch ${index}`
    pending.add(task)
    const headers: Record<string, string> = plan.key === null ? {} : { [HEADERS.key]: plan.key }
    for (;;) {
      try {
        if (plan.door === 'durable') {
          await people.append(subjectOf(FLEET, 'launch', { user: USER }), encode(plan.document, 'json'), {
            headers,
            timeoutMs: 1500,
          })
          break
        }
        const answer = await messenger.ask('coordinator.launch', { user: USER }, plan.document, {
          headers,
          timeoutMs: 1000,
        })
        history.add({ kind: 'client', launch: index, key: plan.key, answer, fault: null })
        runOf.set(index, answer.run)
        break
      } catch (error) {
        const retry =
          isFault(error) &&
          (['CONN', 'TIMEOUT', 'NOT_LEADER', 'OVERLOADED'].includes(error.code) ||
            (error.code === 'PLAN_INVALID' && !calm))
        if (!retry) {
          history.add({
            kind: 'client',
            launch: index,
            key: plan.key,
            answer: null,
            fault: isFault(error) ? error.code : String(error),
          })
          if (!isFault(error)) throw error
          break
        }
        // an append of a launch without a key is not tried again: that would be another launch
        if (plan.door === 'durable' && plan.key === null && isFault(error, 'TIMEOUT')) break
        await later(strike.int(200, 600))
      }
    }
    pending.delete(task)
  }
  const end = async (
    run: string,
    verb: 'stop' | 'kill' | 'signal',
    target: { role?: string; index?: number },
    tries: number,
  ): Promise<void> => {
    for (let i = 0; i < tries; i++) {
      try {
        const body = { run, ...target }
        if (verb === 'signal')
          await messenger.ask('coordinator.signal', { user: USER }, { ...body, signal: 'SIGUSR1' })
        else
          await messenger.ask(verb === 'stop' ? 'coordinator.stop' : 'coordinator.kill', { user: USER }, body)
        return
      } catch (error) {
        if (!isFault(error)) throw error
        if (!error.retryable) return
        await later(500)
      }
    }
  }
  scenario.launches.forEach((plan, index) => clock.after(plan.at, () => void launch(plan, index)))
  for (const ask of scenario.asks)
    clock.after(ask.at, () => {
      const run = runOf.get(ask.launch) ?? [...open.runs.keys()].at(-1)
      if (run !== undefined)
        void end(
          run,
          ask.verb,
          {
            ...(ask.role !== undefined && { role: ask.role }),
            ...(ask.index !== undefined && { index: ask.index }),
          },
          4,
        )
    })

  // somebody watches all the time, as `troupe ps` does: whoever answers says that it leads
  if (scenario.watched) {
    const stopWatching = clock.every(WATCH_MS, () => {
      if (calm) return stopWatching()
      messenger.ask('coordinator.list', { user: USER }, {}, { timeoutMs: 400 }).catch(() => {})
    })
  }

  // — faults —
  const freeze = (slot: Slot | undefined, forMs: number): void => {
    const process = slot?.process
    if (slot === undefined || process == null || !process.alive || process.frozen) return
    process.freeze()
    const fact = {
      kind: 'process',
      name: process.name,
      role: slot.role,
      slot: slot.index,
      incarnation: slot.incarnation,
      before: null,
    } as const
    history.add({ ...fact, what: 'frozen' })
    clock.after(forMs, () => {
      if (!process.alive || !process.frozen) return
      history.add({ ...fact, what: 'thawed' })
      process.thaw()
    })
  }
  /** `writing`: just when an append has left, so that its ack waits for the thaw */
  const freezeCoordinator = (slot: Slot | undefined, forMs: number, writing: boolean): void => {
    const process = slot?.process
    if (!writing || process == null) return freeze(slot, forMs)
    let due = true
    process.crashBefore((label) => {
      if (due && CRASH_POINTS.state.test(label)) {
        due = false
        clock.after(0, () => freeze(slot, forMs))
      }
      return false
    })
  }
  const crash = (slot: Slot | undefined, point: CrashPoint, skip: number, forMs: number): void => {
    const process = slot?.process
    if (slot === undefined || process == null) return
    slot.downMs = forMs
    let left = skip
    process.crashBefore((label) => CRASH_POINTS[point].test(label) && left-- <= 0)
    clock.after(5000, () => process.kill())
  }
  const cut = (bus: MemoryConnection | null | undefined, forMs: number): void => {
    if (bus == null) return
    bus.setLink(false)
    history.add({ kind: 'link', name: bus.name, up: false })
    clock.after(forMs, () => {
      bus.setLink(true)
      history.add({ kind: 'link', name: bus.name, up: true })
    })
  }
  const hit = (fault: FaultPlan): void => {
    switch (fault.kind) {
      case 'crash-coordinator':
        return crash(slotAt('coordinator', fault.slot), fault.before, fault.skip, fault.forMs)
      case 'crash-agent':
        return crash(slotAt('agent', fault.node), fault.before, fault.skip, fault.forMs)
      case 'freeze-coordinator':
        return freezeCoordinator(slotAt('coordinator', fault.slot), fault.forMs, fault.writing)
      case 'freeze-agent':
        return freeze(slotAt('agent', fault.node), fault.forMs)
      case 'cut-coordinator':
        return cut(slotAt('coordinator', fault.slot)?.bus, fault.forMs)
      case 'cut-agent': {
        const slot = slotAt('agent', fault.node)
        return cut(fault.logs ? slot?.logBus : slot?.bus, fault.forMs)
      }
      case 'slow-disk':
        return disk.be(fault.appendMs, fault.forMs)
      case 'full-disk':
        return disk.be('full', fault.forMs)
      case 'twin': {
        const slot = slotAt('agent', fault.node)
        if (slot?.process != null) up(slot)
        return
      }
      case 'no-coordinator': {
        const agents = slots
          .filter((slot) => slot.role === 'agent')
          .map((slot) => [slot, slot.process] as const)
        coordinatorsBackAt = now() + fault.forMs
        for (const slot of slots) if (slot.role === 'coordinator') slot.process?.kill()
        return clock.after(fault.forMs - 500, () => {
          for (const [slot, process] of agents)
            if (
              process !== null &&
              process === slot.process &&
              !process.frozen &&
              machines[slot.index]!.owner === process
            )
              history.add({
                kind: 'orphans',
                node: `n${slot.index}`,
                trees: [...machines[slot.index]!.spools.keys()].filter(
                  (forkId) => machines[slot.index]!.alive(forkId) > 0,
                ),
              })
        })
      }
      case 'reset-store':
        // its server starts again without its disk: every link falls
        server.resetStore()
        history.add({ kind: 'store-reset' })
        for (const slot of slots) for (const bus of [slot.bus, slot.logBus]) cut(bus, 150)
    }
  }
  for (const fault of scenario.faults) clock.after(fault.at, () => hit(fault))

  // — calm: every fault ends, what is down comes back, a person accepts a new store and stops what still runs
  // —
  const reset = scenario.faults.some((fault) => fault.kind === 'reset-store')
  const sweep = (): void => {
    for (const run of open.runs.keys()) void end(run, 'stop', {}, 1)
    clock.after(2000, sweep)
  }
  clock.after(scenario.calmAt, () => {
    calm = true
    history.add({ kind: 'calm' })
    disk.be(0, 0)
    for (const slot of slots) {
      slot.process?.crashBefore(null)
      slot.process?.thaw()
      slot.bus?.setLink(true)
      slot.logBus?.setLink(true)
    }
    if (reset)
      for (let i = 0; i < scenario.nodes; i++) {
        const adopt = async (): Promise<void> => {
          await messenger
            .ask('coordinator.adopt', { user: USER }, { node: `n${i}` })
            .catch(() => later(500).then(adopt))
        }
        clock.after(3000, () => void adopt())
      }
    clock.after(SWEEP_AFTER_MS, sweep)
  })

  // — play until rest —
  let timers = 0
  const queued = (): number => server.streams.get(streamOf(FLEET, 'LAUNCH'))?.messages.length ?? 0
  const left = (): string[] => [
    ...pending,
    ...(queued() > 0 ? [`${queued()} queued launches`] : []),
    ...[...open.runs.keys()].map((run) => `run ${run} has not ended`),
    ...[...open.trees.keys()].map((forkId) => `a tree of ${forkId} lives`),
    ...[...open.forks.keys()]
      .filter((forkId) => !open.trees.has(forkId))
      .map((forkId) => `${forkId} is not released`),
    ...[...open.untold.keys()].map((forkId) => `the logs of ${forkId} are not final`),
  ]
  const limit = scenario.calmAt + PATIENCE_MS
  let converged = false
  for (let until = 500; until <= limit && !converged; until += 500) {
    while (await clock.step(started + until));
    timers = Math.max(timers, clock.pending)
    converged = calm && now() > scenario.calmAt + 1000 && left().length === 0
  }
  const ending = {
    facts: history.facts,
    converged,
    prepareLapseMs: PREPARE_LAPSE_MS,
    left: left(),
    sizeOf: (forkId: string) => {
      const machine = machines.find((candidate) => candidate.spools.get(forkId)?.startedNow != null)
      return machine === undefined ? 0 : logSize(machine, forkId)
    },
    bounds: {
      timers,
      stateEntries: server.streams.get(streamOf(FLEET, 'STATE'))?.messages.length ?? 0,
      stateEntriesMax: STATE_ENTRIES_MAX,
      inboxes: server.waiting(),
    },
  }
  for (const slot of slots) {
    const { process } = slot
    slot.process = null
    process?.kill()
  }
  return {
    seed: scenario.seed,
    facts: history.facts,
    violations: [...crashes, ...check(ending)],
    situations: situationsOf(history.facts, PREPARE_LAPSE_MS),
    simulatedMs: now(),
  }
}

/** What is not at rest: runs, forks whose spool is kept, trees that live, logs whose end is not told. */
interface Open {
  runs: Map<string, number>
  forks: Map<string, number>
  trees: Map<string, number>
  untold: Map<string, number>
  /** runs of a store that was lost: what is left of them is only listed */
  known: Set<string>
  lost: Set<string>
}

function track(open: Open, fact: Fact): void {
  if (fact.kind === 'store-reset') {
    for (const map of [open.runs, open.forks, open.trees, open.untold]) map.clear()
    for (const run of open.known) open.lost.add(run)
  }
  if (fact.kind === 'state')
    for (const op of fact.entry.ops)
      if (op.op === 'run') {
        open.known.add(op.run.run)
        // somebody asked again under the same key: the run stands in the new store
        open.lost.delete(op.run.run)
      }
  // a leader of the lost store may still tell what it accepted there: nobody can end that run any more
  if (fact.kind === 'event' && fact.body.what === 'accepted' && !open.lost.has(fact.body.run))
    open.runs.set(fact.body.run, fact.at)
  if (fact.kind === 'event' && fact.body.what === 'ended') open.runs.delete(fact.body.run)
  if (fact.kind === 'event' && fact.body.what === 'logs-final')
    open.untold.delete((fact.body as WorkerEventBody).forkId)
  if (fact.kind !== 'machine') return
  const run = fact.forkId.split('.')[0]!
  open.known.add(run)
  if (open.lost.has(run)) return
  if (fact.what === 'prepared') open.forks.set(fact.forkId, fact.at)
  if (fact.what === 'dropped' || fact.what === 'released') open.forks.delete(fact.forkId)
  if (fact.what === 'spawned' && fact.root) open.untold.set(fact.forkId, fact.at)
  if (fact.what === 'spawned') open.trees.set(fact.forkId, fact.at)
  if (fact.what === 'empty') open.trees.delete(fact.forkId)
}

/** One line of the trace of a replayed seed. */
function describe(fact: Fact): string {
  const at = `${(fact.at / 1000).toFixed(3).padStart(8)} `
  switch (fact.kind) {
    case 'machine':
      return `${at}${fact.node} machine: ${fact.forkId} ${fact.what}${'exit' in fact ? ` ${JSON.stringify(fact.exit)}` : ''}${'signal' in fact ? ` ${fact.signal} by ${fact.by}` : ''}${'pid' in fact ? ` pid ${fact.pid}` : ''}`
    case 'process':
      return `${at}${fact.name} ${fact.what}${fact.before === null ? '' : ` before ${fact.before}`}${fact.what === 'up' ? ` as ${fact.incarnation}` : ''}`
    case 'order':
      return `${at}${fact.from} → ${fact.node} ${fact.stage}${fact.copy > 0 ? ' (copy)' : ''}${fact.frozen ? ' (frozen)' : ''}: ${fact.verb} ${fact.forks.join(' ')} epoch ${fact.epoch?.n ?? '-'}`
    case 'order-answer':
      return `${at}${fact.to.node} answers ${fact.to.verb} ${fact.to.forks.join(' ')}: ${fact.lost ? 'LOST' : fact.ok ? 'ok' : fact.code}`
    case 'event':
      return `${at}event ${fact.subject.split('.').slice(4).join('.')}${'phase' in fact.body ? ` ${fact.body.forkId} ${fact.body.phase}${fact.body.exit === null ? '' : ` ${JSON.stringify(fact.body.exit)}`}` : ` ${fact.body.state ?? ''} ${'reason' in fact.body ? fact.body.reason : ''}`}`
    case 'state':
      return `${at}STATE ${fact.seq} by ${fact.from}: ${fact.entry.kind} epoch ${fact.entry.epoch.n} ${fact.entry.ops.map((op) => (op.op === 'run' ? `run ${op.run.run} ${op.run.state}${op.run.reason === null ? '' : ` (${op.run.reason})`} [${op.run.workers.map((w) => `${w.role}.${w.index}.${w.attempt} ${w.phase}${w.node === null ? '' : `@${w.node}`}${w.ending === null ? '' : ` ending:${w.ending.by}`}`).join(', ')}]` : op.op)).join('; ')}`
    case 'archive':
      return `${at}archive ${fact.status.run} ${fact.status.state}`
    case 'log':
      return `${at}${fact.node} log ${fact.forkId} ${fact.record === null ? `${fact.offset}+${fact.bytes.length}` : JSON.stringify(fact.record)}`
    case 'event-heard':
      return `${at}${fact.to} hears ${fact.subject.split('.').slice(4).join('.')}${fact.copy > 0 ? ' (copy)' : ''}`
    default: {
      const { at: _, ...rest } = fact
      return `${at}${JSON.stringify(rest)}`
    }
  }
}
