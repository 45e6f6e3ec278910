/**
 * The coordinator's actor: performs what core/coordinator decides. Owns the bus, the clock and the state
 * log's term; decides nothing. While it stands by it serves nothing: it has no subscription that a request
 * could reach.
 */
import { COORDINATOR_DEFAULTS, type CoordinatorSettings } from '../../core/coordinator/settings.ts'
import type { CoordinatorCommand, CoordinatorEvent, Fact, Times } from '../../core/coordinator/messages.ts'
import { newState } from '../../core/coordinator/state.ts'
import { stepCoordinator } from '../../core/coordinator/step.ts'
import { Fault, isFault, toFault } from '../../protocol/faults.ts'
import { parseAgentConnectionName } from '../../protocol/names.ts'
import { orderHeaders } from '../../protocol/order-headers.ts'
import { DISCONNECT_ADVISORY } from '../../protocol/permissions.ts'
import type { StateOp } from '../../protocol/records.ts'
import { subjectOf } from '../../protocol/subjects.ts'
import type { RunStatus } from '../../protocol/shapes.ts'
import { HEADERS, REQUEST_VERBS, type ReplyOf, type RequestVerb } from '../../protocol/table.ts'
import type { Backend } from '../../backends/backend.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus, Message, Subscription } from '../../transport/bus.ts'
import { replayRecent } from '../../transport/replay-recent.ts'
import { messengerOn, type Messenger, type Responder } from '../../transport/messenger.ts'
import type { StateLog } from '../../transport/state-log.ts'
import { ensureStreams } from '../../transport/streams.ts'
import { archiveAtLast, archiveOn } from './archive.ts'
import { beatClocks } from './beat-clocks.ts'
import { runActor, type ActorHandle } from '../kernel.ts'
import type { LeaderTerm } from '../leadership/leader-term.ts'
import { runLeadership } from '../leadership/leadership.ts'
import { findLostRun } from './lost-history.ts'
import { serveLaunchQueue, type LaunchQueue } from './launch-queue.ts'
import { publisherOn } from './publisher.ts'
import { unwritableRuns } from './unwritable.ts'

export interface CoordinatorOptions {
  bus: Bus
  stateLog: StateLog
  fleet: string
  /** a ULID, new with each start */
  incarnation: string
  clock: Clock
  settings?: Partial<CoordinatorSettings>
  /** for the words of `plan`; a launch whose backend is not here gets none */
  backends?: readonly Backend[]
  log(fields: Record<string, unknown>): void
  /** after each step, for tests and the simulator */
  onStep?(event: CoordinatorEvent, commands: readonly CoordinatorCommand[]): void
}

/** idle: nothing ran for `idleEndMs`. crashed: a step threw, which is a bug. */
export type CoordinatorEnd = { why: 'stopped' | 'idle' | 'crashed' }

export interface CoordinatorHandle {
  role(): 'standby' | 'leader' | 'stopped'
  /** resigns, so that a standby takes over at once; runs go on */
  stop(): Promise<void>
  readonly ended: Promise<CoordinatorEnd>
}

type Actor = ActorHandle<CoordinatorEvent>
/** What a leader has and a standby has not. */
interface Served {
  actor: Actor
  close(): void
}

const RETRY_MS = 500

export function startCoordinator(options: CoordinatorOptions): Promise<CoordinatorHandle> {
  const { bus, fleet, stateLog, incarnation, clock, log } = options
  const settings = { ...COORDINATOR_DEFAULTS, ...options.settings }
  // beyond a term: who lost it with the bus still has the last events to tell
  const replay = replayRecent(messengerOn(bus, fleet), clock)
  let served: Served | null = null
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

function serveTerm(
  options: CoordinatorOptions & {
    messenger: Messenger
    settings: CoordinatorSettings
    term: LeaderTerm
    end(why: 'idle' | 'crashed'): void
  },
): Served {
  const {
    bus,
    fleet,
    messenger,
    incarnation,
    clock,
    settings,
    term,
    backends = [],
    log,
    onStep,
    end,
  } = options
  let open = true
  // while one leads, wall time follows the monotonic clock: somebody who sets the clock moves no deadline
  const wallBase = clock.wall() - clock.now()
  const times = (): Times => ({ now: clock.now(), wall: Math.round(wallBase + clock.now()) })
  const happened = (fact: Fact): CoordinatorEvent => ({ ...fact, ...times() })
  const post = (fact: Fact): void => {
    if (open) actor.post(happened(fact))
  }
  const after = (ms: number, fn: () => void): void => clock.after(ms, () => void (open && fn()))

  const responders = new Map<number, Responder<`coordinator.${RequestVerb}`>>()
  const clocks = beatClocks(() => clock.now(), settings.lostAfterMs)
  const publisher = publisherOn({ messenger, after, log })
  const archive = archiveOn({ bus, messenger, fleet, log })
  const unwritable = unwritableRuns(log)
  let queue: LaunchQueue | null = null

  // — commands —

  const take = (request: number): Responder<`coordinator.${RequestVerb}`> | undefined => {
    const responder = responders.get(request)
    responders.delete(request)
    return responder
  }

  const perform = (command: CoordinatorCommand): void => {
    const fault = unwritable.faultOf(command)
    if (fault !== undefined) {
      if (command.kind === 'reply') take(command.request)?.fault(fault)
      if (command.kind === 'answer-queued') queue?.giveBack(command.seq)
      return
    }
    switch (command.kind) {
      case 'persist':
        return
      case 'order':
        return void order(command.order)
      case 'reply':
        return take(command.request)?.reply(command.body as never)
      case 'refuse':
        return take(command.request)?.fault(Fault.fromBody(command.fault))
      case 'reply-plan': {
        const { launch } = command.body
        const lines =
          launch === null
            ? []
            : (backends.find((backend) => backend.name === launch.backend)?.plan(launch).lines ?? [])
        return take(command.request)?.reply({
          ...command.body,
          plan: [...lines, ...command.body.plan],
        } as never)
      }
      case 'reply-from-archive': {
        const responder = take(command.request)
        const answer = command.verb === 'status' ? ofArchive(command) : archive.list(command)
        return void answer.then(
          (body) => responder?.reply(body as never),
          (error: unknown) => responder?.fault(toFault(error)),
        )
      }
      case 'answer-queued':
        return publisher.whenTold(command.told, () => queue?.answer(command.seq, command))
      case 'publish':
        return publisher.publish(command)
      case 'archive':
        return void archiveRun(command.status)
      case 'timer':
        return after(Math.max(0, command.at - clock.now()), () =>
          post({ kind: 'timer', timer: command.timer }),
        )
      case 'log':
        return log({ level: command.level, ...command.fields })
      case 'end':
        log({ msg: 'ends', why: command.why })
        return end('idle')
      default:
        return command satisfies never
    }
  }

  const ofArchive = async ({
    query,
    fault,
  }: Extract<CoordinatorCommand, { verb: 'status' }>): Promise<ReplyOf<'coordinator.status'>> => {
    const page = await archive.status(query)
    if (page === null) throw Fault.fromBody(fault)
    return page
  }

  const archiveRun = async (status: RunStatus): Promise<void> => {
    await archiveAtLast(archive, status, { after, log })
    post({ kind: 'archived', run: status.run })
  }

  /** An agent that reads it later than this tick of its own clock does nothing. */
  const notAfterOf = (node: string, to: string): number | null => {
    const tick = clocks.tickOf(node, to)
    return tick === null ? null : tick + settings.orderAllowanceMs
  }

  const order = async ({
    id,
    node,
    incarnation: to,
    verb,
    body,
    timeoutMs,
  }: Extract<CoordinatorCommand, { kind: 'order' }>['order']): Promise<void> => {
    const sentWall = wallBase + clock.now()
    const done = (result: { reply?: unknown; fault?: Fault }): void =>
      post({
        kind: 'order-result',
        id,
        sentWall,
        gotWall: wallBase + clock.now(),
        reply: (result.reply as never) ?? null,
        fault: result.fault?.toBody() ?? null,
      })
    const notAfter = notAfterOf(node, to)
    // its clock is not known (yet): it beats within half a second
    if (notAfter === null)
      return after(1, () => done({ fault: new Fault('EXPIRED', `no beat of ${node} to count from`) }))
    try {
      done({
        reply: await messenger.ask(`node.${verb}`, { node, incarnation: to }, body as never, {
          headers: orderHeaders({ epoch: term.epoch, notAfter }),
          timeoutMs,
        }),
      })
    } catch (error) {
      done({ fault: isFault(error) ? error : new Fault('FAILED', String(error), { retryable: true }) })
    }
  }

  // — the actor —

  const actor: Actor = runActor<ReturnType<typeof newState>, CoordinatorEvent, CoordinatorCommand, StateOp>({
    state: newState({ settings, incarnation, storeId: term.epoch.storeId, durable: term.durable }),
    step(state, event) {
      try {
        return stepCoordinator(state, event)
      } catch (error) {
        log({
          level: 'error',
          msg: 'a step of the coordinator failed',
          event: event.kind,
          error: error instanceof Error ? (error.stack ?? error.message) : String(error),
        })
        end('crashed')
        return [state, []]
      }
    },
    perform,
    persistOf: (command) => (command.kind === 'persist' ? command.ops : null),
    persist: async (ops) => {
      for (const fact of unwritable.note(ops, await term.persist(ops))) post(fact)
    },
    mayPerform: () => term.leased(),
    ...(onStep !== undefined && { onStep }),
  })

  // — what it hears —

  const subscriptions: Subscription[] = []
  let requests = 0
  for (const verb of REQUEST_VERBS) {
    subscriptions.push(
      messenger.serve(`coordinator.${verb}`, {}, (request, responder) => {
        if (!term.leased()) return responder.fault(notNow())
        const id = ++requests
        responders.set(id, responder as never)
        const event = {
          kind: 'request',
          id,
          verb,
          user: request.params['user' as never] as string,
          key: request.headers[HEADERS.key] ?? null,
          body: request.body,
        } as Fact
        if (actor.offer(happened(event))) return
        responders.delete(id)
        responder.fault(new Fault('OVERLOADED', 'the coordinator has too much to do'))
      }),
    )
  }
  subscriptions.push(
    messenger.listen('beat', {}, ({ params, body }) => {
      clocks.heard(params.node, body)
      const { epoch } = body
      if (epoch !== null && epoch.storeId === term.epoch.storeId && epoch.n > term.epoch.n)
        lostHistory(`node ${params.node} obeyed epoch ${epoch.n}, and the log ends with ${term.epoch.n}`)
      post({ kind: 'beat', node: params.node, ...body })
    }),
    messenger.listen('event.worker', {}, ({ params, body }) => {
      const { id: _id, at: _at, what: _what, node, incarnation: from, rev, ...report } = body
      // the server vouches for the node in the subject, for nothing in the body
      if (
        node !== params.node ||
        report.run !== params.run ||
        report.role !== params.role ||
        String(report.index) !== params.index
      )
        return
      post({ kind: 'report', node, incarnation: from, rev, report })
    }),
    bus.subscribe(DISCONNECT_ADVISORY, (message) => {
      const agent = agentOf(message)
      if (agent !== null) post({ kind: 'node-disconnected', ...agent })
    }),
  )
  const stopListening = bus.onLink((up) => {
    if (!up) term.suspendLease()
    post({ kind: 'link', up })
    if (up) resync()
  })
  const stopTicking = clock.every(settings.nodesTickMs, () => post({ kind: 'nodes-tick' }))
  const resync = (): void =>
    bus.publish(
      subjectOf(fleet, 'nodes.resync', {}),
      new Uint8Array(),
      orderHeaders({ epoch: term.epoch, notAfter: 0 }),
    )

  const lostHistory = (text: string): void => {
    if (!toldLost) post({ kind: 'history-lost', text })
    toldLost = true
  }
  let toldLost = false

  const openQueue = async (): Promise<void> => {
    try {
      await ensureStreams(bus, fleet, settings.replicas)
      const lost = await findLostRun(messenger, (run) => term.durable.runs.has(run))
      if (!open) return
      if (lost !== null) lostHistory(lost)
      const serving = await serveLaunchQueue({
        bus,
        messenger,
        fleet,
        clock,
        offer: (fact) => open && term.leased() && actor.offer(happened(fact)),
        log,
      })
      if (open) queue = serving
      else serving.close()
    } catch (error) {
      log({ level: 'warn', msg: 'the streams of the fleet cannot be made yet', error: String(error) })
      after(RETRY_MS, () => void openQueue())
    }
  }

  post({ kind: 'led' })
  if (term.lost !== null) lostHistory(term.lost)
  if (!bus.connected) post({ kind: 'link', up: false })
  resync()
  void openQueue()

  return {
    actor,
    close() {
      open = false
      actor.halt()
      stopTicking()
      stopListening()
      for (const subscription of subscriptions) subscription.unsubscribe()
      queue?.close()
      for (const responder of responders.values()) responder.fault(notNow())
      responders.clear()
    },
  }
}

function notNow(): Fault {
  return new Fault('NOT_LEADER', 'this coordinator has not heard from its state log; ask again')
}

function agentOf(message: Message): { node: string; incarnation: string } | null {
  try {
    const { client } = JSON.parse(new TextDecoder().decode(message.body)) as { client?: { name?: unknown } }
    return typeof client?.name === 'string' ? parseAgentConnectionName(client.name) : null
  } catch {
    return null
  }
}
