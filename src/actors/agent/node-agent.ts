/**
 * The node agent's `perform`: connects the decisions of core/agent to the bus, the process host, the clock
 * and the logs. Owns subscriptions, answers and the order of its coming and going; decides nothing.
 *
 * Control goes over `bus`; chunks and ranges of logs over `logBus`, so that no order waits behind a flood.
 */
import { stepAgent } from '../../core/agent/step.ts'
import {
  AGENT_DEFAULTS,
  newAgent,
  type AgentCommand,
  type AgentEvent,
  type AgentSettings,
  type Order,
} from '../../core/agent/agent-state.ts'
import { Fault, isFault, toFault } from '../../protocol/faults.ts'
import { parseForkId, workerIdOf } from '../../protocol/names.ts'
import { readOrderHeaders } from '../../protocol/order-headers.ts'
import { subjectOf } from '../../protocol/subjects.ts'
import { ORDER_VERBS } from '../../protocol/table.ts'
import type { AgentStore } from '../../process/agent-store.ts'
import type { LogStore } from '../../process/log-store.ts'
import type { HostEvent } from '../../protocol/host.ts'
import type { ProcessHost } from '../../process/process-host.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus, Subscription } from '../../transport/bus.ts'
import { replayRecent } from '../../transport/replay-recent.ts'
import { messengerOn } from '../../transport/messenger.ts'
import { readStateTail } from '../../transport/state-tail.ts'
import { agentHostOn } from './agent-host.ts'
import { startFactEmitter } from './fact-emitter.ts'
import { runActor } from '../kernel.ts'
import { startLogServer } from '../logs/log-server.ts'
import { LOG_DEFAULTS, type LogSettings } from '../logs/log-settings.ts'
import { startLogShipper } from '../logs/log-shipper.ts'

export interface NodeAgentOptions {
  bus: Bus
  logBus: Bus
  fleet: string
  node: string
  /** a ULID, new at each start */
  incarnation: string
  host: ProcessHost
  logs: LogStore
  store: AgentStore
  clock: Clock
  settings?: Partial<AgentSettings> & { logs?: Partial<LogSettings> }
  pid?: number
  log(fields: Record<string, unknown>): void
  /** after each step, for tests and the simulator */
  onStep?(event: AgentEvent, commands: readonly AgentCommand[]): void
}

export interface AgentHandle {
  /** leave: the last beat says so, workers run on */
  stop(): Promise<void>
  /** resolves exactly once, never rejects */
  readonly ended: Promise<{ why: 'stopped' | 'superseded' }>
  /** orders are heard from here on: the state log's tail was read */
  readonly joined: Promise<void>
}

const KEPT_MS = 600_000
/** forks released since then: some logs may have gone for them */
const KEPT_RELEASES = 1000
const FLUSH_MS = 1000

interface Answer {
  reply(body: never): void
  fault(fault: Fault): void
}

/**
 * Take the spool and serve it. Returns when the spool is recovered; the bus may come later.
 *
 * @throws {Fault} LOCKED when the spool's owner lives and cannot be ended, SPOOL when it cannot be read
 */
export async function startNodeAgent(options: NodeAgentOptions): Promise<AgentHandle> {
  const { bus, logBus, fleet, node, incarnation, host, logs, store, clock, log } = options
  const { logs: logOverrides, ...overrides } = options.settings ?? {}
  const settings = { ...AGENT_DEFAULTS, ...overrides }
  const logSettings = { ...LOG_DEFAULTS, ...logOverrides }
  const replay = replayRecent(messengerOn(bus, fleet), clock)
  const { messenger } = replay

  const answers = new Map<number, Answer>()
  const subscriptions: Subscription[] = []
  const health = new Map<string, { forks: Set<string>; subscription: Subscription }>()
  let orders = 0
  let released = 0
  let resolveEnded!: (end: { why: 'stopped' | 'superseded' }) => void
  let resolveJoined!: () => void
  const ended = new Promise<{ why: 'stopped' | 'superseded' }>((resolve) => (resolveEnded = resolve))
  const joined = new Promise<void>((resolve) => (resolveJoined = resolve))

  const perform = (command: AgentCommand): void => {
    switch (command.type) {
      case 'reply':
        return answer(command.order, (one) => one.reply(command.body as never))
      case 'fault':
        return answer(command.order, (one) => one.fault(Fault.fromBody(command.fault)))
      case 'fact':
        return emitter.emit(command)
      case 'beat': {
        const { type: _, ...body } = command
        // true when the agent's allocation is about to end: comes with the first backend that allocates
        return messenger.cast('beat', { node }, { incarnation, ...body, draining: false })
      }
      case 'timer':
        return clock.after(command.afterMs, () =>
          actor.post({ type: 'timer', timer: command.timer, at: clock.now() }),
        )
      case 'ship-logs':
        return shipper.ship(command.forkId)
      case 'finish-logs':
        return shipper.finish(command.forkId)
      case 'serve':
        return serveWorker(command.forkId)
      case 'unserve':
        return unserveWorker(command.forkId, command.logsToo)
      case 'health':
        return measure(command)
      case 'remember':
        return remember(command)
      case 'read-tail':
        return readTail()
      case 'round-trip':
        return roundTrip()
      case 'join':
        return join()
      case 'end':
        return end(command.why)
      case 'prepare':
      case 'drop':
      case 'start':
      case 'cancel':
      case 'note':
      case 'pre-stop':
      case 'signal-tree':
      case 'signal-one':
      case 'kill-tree':
      case 'release':
        return agentHost.perform(command)
    }
  }

  const actor = runActor<ReturnType<typeof newAgent>, AgentEvent, AgentCommand>({
    state: newAgent({ node, incarnation, pid: options.pid ?? process.pid, settings }),
    step: stepAgent,
    perform,
    ...(options.onStep !== undefined && { onStep: options.onStep }),
  })
  const agentHost = agentHostOn({ host, clock, post: actor.post, log })
  const emitter = startFactEmitter({
    messenger,
    node,
    incarnation,
    clock,
    log,
    onAcked: (forkId, what) => actor.post({ type: 'fact-acked', forkId, what }),
  })
  const shipper = startLogShipper({
    bus: logBus,
    fleet,
    node,
    store: logs,
    clock,
    settings: logSettings,
    log,
    onFinal: (forkId, offsets) => actor.post({ type: 'logs-final', forkId, offsets }),
  })
  const logServer = startLogServer({ messenger: messengerOn(logBus, fleet), node, store: logs })

  const answer = (order: number, say: (answer: Answer) => void): void => {
    const waiting = answers.get(order)
    answers.delete(order)
    if (waiting !== undefined) say(waiting)
  }
  /** Hand a request to the step; at the mailbox's watermark it is shed. */
  const offer = (responder: Answer, eventOf: (order: number) => AgentEvent): void => {
    const order = ++orders
    answers.set(order, responder)
    if (!actor.offer(eventOf(order)))
      answer(order, (one) => one.fault(new Fault('OVERLOADED', `node ${node} has too much to do`)))
  }

  const join = (): void => {
    for (const verb of ORDER_VERBS)
      subscriptions.push(
        messenger.serve(`node.${verb}`, { node, incarnation }, ({ body, headers }, responder) =>
          offer(responder, (order) => ({
            type: 'order',
            order,
            request: { verb, body } as Order,
            ...readOrderHeaders(headers),
            at: clock.now(),
          })),
        ),
      )
    subscriptions.push(
      bus.subscribe(subjectOf(fleet, 'nodes.resync', {}), () =>
        actor.post({ type: 'resync', at: clock.now() }),
      ),
    )
    resolveJoined()
  }

  const serveWorker = (forkId: string): void => {
    logServer.hold(forkId)
    const { run, role, index } = parseForkId(forkId)!
    const id = workerIdOf(run, role, index)
    const served = health.get(id)
    if (served !== undefined) return void served.forks.add(forkId)
    const subscription = messenger.serve('worker.health', { run, role, index }, (_, responder) =>
      offer(responder, (order) => ({ type: 'health', order, run, role, index })),
    )
    health.set(id, { forks: new Set([forkId]), subscription })
  }
  const unserveWorker = (forkId: string, logsToo: boolean): void => {
    if (logsToo) logServer.drop(forkId)
    else if (++released % KEPT_RELEASES === 0) lookForKept()
    const { run, role, index } = parseForkId(forkId)!
    const id = workerIdOf(run, role, index)
    const served = health.get(id)
    if (served === undefined || !served.forks.delete(forkId) || served.forks.size > 0) return
    served.subscription.unsubscribe()
    health.delete(id)
  }

  const measure = ({ order, report }: Extract<AgentCommand, { type: 'health' }>): void => {
    const { forkId, phase, ready, readyReason, pid, exit } = report
    host.measure(forkId).then(
      (size) =>
        answer(order, (one) =>
          one.reply({ node, forkId, phase, ready, readyReason, pid, exit, ...size } as never),
        ),
      (error: unknown) => answer(order, (one) => one.fault(toFault(error))),
    )
  }

  const remember = ({ epoch, order }: Extract<AgentCommand, { type: 'remember' }>): void => {
    store.write({ epoch }).then(
      () => order !== null && actor.post({ type: 'remembered', order }),
      (error: unknown) => {
        log({ msg: 'the epoch cannot be remembered', error: String(error) })
        if (order !== null) answer(order, (one) => one.fault(toFault(error, 'SPOOL')))
      },
    )
  }

  const readTail = (): void => {
    readStateTail(messenger)
      .then((tail) =>
        actor.post({ type: 'tail', epoch: tail?.epoch ?? null, seq: tail?.seq ?? 0, at: clock.now() }),
      )
      .catch((error: unknown) => {
        if (!isFault(error, 'CONN') && !isFault(error, 'TIMEOUT'))
          log({ msg: 'the state log cannot be read', error: String(error) })
        actor.post({ type: 'tail-unreadable', at: clock.now() })
      })
  }

  const roundTrip = (): void => {
    const sentAt = clock.now()
    bus.roundTripMs().then(
      () => {
        host.renewFences(clock.now() - sentAt)
        actor.post({ type: 'round-trip', sentAt })
      },
      () => undefined, // no contact: that is what the fence waits for
    )
  }

  let expectedTick = clock.now() + settings.beatMs
  const stopTicking = clock.every(settings.beatMs, () => {
    const now = clock.now()
    actor.post({ type: 'tick', at: now, loopLagMs: Math.max(0, now - expectedTick) })
    expectedTick = now + settings.beatMs
  })
  /** The host deletes old logs by its own rules; what is gone is not served any more. */
  const lookForKept = (): void => {
    logs.retained().then(
      (kept) =>
        logServer.keepOnly(new Set([...kept, ...[...health.values()].flatMap(({ forks }) => [...forks])])),
      (error: unknown) => log({ msg: 'the kept logs cannot be listed', error: String(error) }),
    )
  }
  const stopLooking = clock.every(KEPT_MS, lookForKept)

  const end = (why: 'stopped' | 'superseded'): void => {
    actor.halt()
    stopTicking()
    stopLooking()
    for (const subscription of [
      ...subscriptions,
      ...[...health.values()].map((served) => served.subscription),
    ])
      subscription.unsubscribe()
    emitter.stop()
    replay.stop()
    logServer.stop()
    void (async () => {
      await shipper.stop({ keepMarks: why === 'stopped' })
      if (why === 'stopped') {
        await Promise.race([
          bus.flush().catch(() => undefined),
          new Promise<void>((resolve) => clock.after(FLUSH_MS, resolve)),
        ])
        await host.close()
      }
    })()
      .catch((error: unknown) => log({ msg: 'the agent did not end in order', error: String(error) }))
      .finally(() => resolveEnded({ why }))
  }

  const early: HostEvent[] = []
  let recovered = false
  host.onEvent((event) => {
    if (recovered) actor.post({ type: 'host', event, at: clock.now() })
    else early.push(event)
  })
  try {
    const forks = await host.recover()
    const [capacity, { epoch }, retained] = await Promise.all([
      host.capacity(),
      store.read(),
      logs.retained(),
    ])
    for (const forkId of retained) logServer.hold(forkId)
    recovered = true
    actor.post({ type: 'recovered', forks, capacity, epoch, at: clock.now() })
    for (const event of early.splice(0)) actor.post({ type: 'host', event, at: clock.now() })
  } catch (error) {
    end('superseded')
    throw error
  }

  return {
    joined,
    ended,
    async stop() {
      actor.post({ type: 'leave', at: clock.now() })
      await ended
    },
  }
}
