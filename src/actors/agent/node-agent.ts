/**
 * The node agent's actor: connects the decisions of core/agent to the bus, the process host, the clock and
 * the logs. Owns the order of its coming and going; decides nothing.
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
} from '../../core/agent/agent-state.ts'
import type { HostEvent } from '../../protocol/host.ts'
import type { Bus } from '../../transport/bus.ts'
import { replayRecent } from '../../transport/replay-recent.ts'
import { messengerOn } from '../../transport/messenger.ts'
import { runActor } from '../kernel.ts'
import { startLogServer } from '../logs/log-server.ts'
import { LOG_DEFAULTS, type LogSettings } from '../logs/log-settings.ts'
import { startLogShipper } from '../logs/log-shipper.ts'
import { agentHostOn } from './agent-host.ts'
import { startFactEmitter } from './fact-emitter.ts'
import type { AgentContext, AgentEnd, LiveAgent } from './live-agent.ts'
import { end, perform } from './perform.ts'
import { forgetDeletedLogs } from './served-workers.ts'

export interface NodeAgentOptions extends AgentContext {
  logBus: Bus
  settings?: Partial<AgentSettings> & { logs?: Partial<LogSettings> }
  pid?: number
  /** It is called after each step, for tests and the simulator. */
  onStep?(event: AgentEvent, commands: readonly AgentCommand[]): void
}

export interface AgentHandle {
  /** leave: the last beat says so, workers run on */
  stop(): Promise<void>
  /** resolves exactly once, never rejects */
  readonly ended: Promise<AgentEnd>
  /** orders are heard from here on: the state log's tail was read */
  readonly joined: Promise<void>
}

/** How often the kept logs are listed. */
const KEPT_MS = 600_000
/** Interfaces come and go, and no event tells. */
const ADDRESSES_MS = 10_000

/**
 * Take the spool and serve it. Returns when the spool is recovered; the bus may come later.
 *
 * @throws {Fault} LOCKED when the spool's owner lives and cannot be ended, SPOOL when it cannot be read
 */
export async function startNodeAgent(options: NodeAgentOptions): Promise<AgentHandle> {
  const { logs: logSettings, ...settings } = options.settings ?? {}
  let onEnded!: (end: AgentEnd) => void
  let onJoined!: () => void
  const ended = new Promise<AgentEnd>((resolve) => (onEnded = resolve))
  const joined = new Promise<void>((resolve) => (onJoined = resolve))
  const a = assemble(options, {
    settings: { ...AGENT_DEFAULTS, ...settings },
    logSettings: { ...LOG_DEFAULTS, ...logSettings },
    onEnded,
    onJoined,
  })
  try {
    await recover(a)
  } catch (error) {
    end(a, 'superseded')
    throw error
  }
  return {
    joined,
    ended,
    async stop() {
      a.actor.post({ type: 'leave', at: a.clock.now() })
      await ended
    },
  }
}

interface Resolved extends Pick<LiveAgent, 'onEnded' | 'onJoined'> {
  settings: AgentSettings
  logSettings: LogSettings
}

function assemble(options: NodeAgentOptions, { settings, logSettings, ...told }: Resolved): LiveAgent {
  const { bus, logBus, fleet, node, incarnation, logs, clock, log } = options
  const replay = replayRecent(messengerOn(bus, fleet), clock)
  const a: LiveAgent = {
    ...options,
    ...told,
    messenger: replay.messenger,
    actor: runActor<ReturnType<typeof newAgent>, AgentEvent, AgentCommand>({
      state: newAgent({ node, incarnation, pid: options.pid ?? process.pid, settings }),
      step: stepAgent,
      perform: (command) => perform(a, command),
      ...(options.onStep !== undefined && { onStep: options.onStep }),
    }),
    agentHost: agentHostOn({ ...options, post: (event) => a.actor.post(event) }),
    emitter: startFactEmitter({
      messenger: replay.messenger,
      node,
      incarnation,
      clock,
      log,
      onAcked: (forkId, what) => a.actor.post({ type: 'fact-acked', forkId, what }),
    }),
    shipper: startLogShipper({
      bus: logBus,
      fleet,
      node,
      store: logs,
      clock,
      settings: logSettings,
      log,
      onFinal: (forkId, offsets) => a.actor.post({ type: 'logs-final', forkId, offsets }),
    }),
    logServer: startLogServer({ messenger: messengerOn(logBus, fleet), node, store: logs }),
    answers: new Map(),
    requests: 0,
    health: new Map(),
    released: 0,
    stops: [() => replay.stop()],
  }
  a.stops.push(
    startTicking(a, settings.beatMs),
    clock.every(KEPT_MS, () => forgetDeletedLogs(a)),
    clock.every(ADDRESSES_MS, () => lookAtAddresses(a)),
    bus.onLink((up) => void (up && lookAtAddresses(a))),
  )
  return a
}

function startTicking({ clock, actor }: LiveAgent, beatMs: number): () => void {
  let expected = clock.now() + beatMs
  return clock.every(beatMs, () => {
    const now = clock.now()
    actor.post({ type: 'tick', at: now, loopLagMs: Math.max(0, now - expected) })
    expected = now + beatMs
  })
}

/** A link that is new may have another address, too. */
function lookAtAddresses({ host, actor, log }: LiveAgent): void {
  host.capacity().then(
    (capacity) => actor.post({ type: 'capacity', capacity }),
    (error: unknown) => log({ msg: 'the addresses cannot be read', error: String(error) }),
  )
}

/** Take the spool. The host may speak of a fork before all of them are known: its events wait for that. */
async function recover({ host, store, logs, logServer, actor, clock }: LiveAgent): Promise<void> {
  const early: HostEvent[] = []
  let recovered = false
  host.onEvent((event) => {
    if (recovered) actor.post({ type: 'host', event, at: clock.now() })
    else early.push(event)
  })
  const forks = await host.recover()
  const [capacity, { epoch }, retained] = await Promise.all([host.capacity(), store.read(), logs.retained()])
  for (const forkId of retained) logServer.hold(forkId)
  recovered = true
  actor.post({ type: 'recovered', forks, capacity, epoch, at: clock.now() })
  for (const event of early.splice(0)) actor.post({ type: 'host', event, at: clock.now() })
}
