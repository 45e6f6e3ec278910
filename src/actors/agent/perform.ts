/**
 * Performs what core/agent decided, one command at a time. Calls of the process host leave by agent-host.ts;
 * each outcome comes back as an event.
 */
import type { AgentCommand, Order } from '../../core/agent/agent-state.ts'
import { Fault, isFault, toFault } from '../../protocol/faults.ts'
import { readOrderHeaders } from '../../protocol/order-headers.ts'
import { subjectOf } from '../../protocol/subjects.ts'
import { ORDER_VERBS } from '../../protocol/table.ts'
import { readStateTail } from '../../transport/state-tail.ts'
import { answer, offer, type AgentEnd, type LiveAgent } from './live-agent.ts'
import { serveWorker, unserveWorker } from './served-workers.ts'

const FLUSH_MS = 1000

export function perform(a: LiveAgent, command: AgentCommand): void {
  switch (command.type) {
    case 'reply':
      return answer(a, command.order, (one) => one.reply(command.body as never))
    case 'fault':
      return answer(a, command.order, (one) => one.fault(Fault.fromBody(command.fault)))
    case 'fact':
      return a.emitter.emit(command)
    case 'beat':
      return beat(a, command)
    case 'timer':
      return a.clock.after(command.afterMs, () =>
        a.actor.post({ type: 'timer', timer: command.timer, at: a.clock.now() }),
      )
    case 'ship-logs':
      return a.shipper.ship(command.forkId)
    case 'finish-logs':
      return a.shipper.finish(command.forkId)
    case 'serve':
      return serveWorker(a, command.forkId)
    case 'unserve':
      return unserveWorker(a, command.forkId, command.logsToo)
    case 'health':
      return measure(a, command)
    case 'remember':
      return remember(a, command)
    case 'read-tail':
      return readTail(a)
    case 'round-trip':
      return roundTrip(a)
    case 'join':
      return join(a)
    case 'end':
      return end(a, command.why)
    case 'prepare':
    case 'drop':
    case 'start':
    case 'cancel':
    case 'note':
    case 'pre-stop':
    case 'watch-saved':
    case 'signal-tree':
    case 'signal-root':
    case 'signal-one':
    case 'kill-tree':
    case 'release':
      return a.agentHost.perform(command)
  }
}

type CommandOf<T extends AgentCommand['type']> = Extract<AgentCommand, { type: T }>

function beat(a: LiveAgent, command: CommandOf<'beat'>): void {
  const { messenger, node, incarnation } = a
  const { type: _, ...body } = command
  // true when the agent's allocation is about to end: comes with the first backend that allocates
  messenger.cast('beat', { node }, { incarnation, ...body, draining: false, link: a.link?.() ?? 1 })
}

function measure(a: LiveAgent, { order, report }: CommandOf<'health'>): void {
  const { forkId, phase, ready, readyReason, pid, exit } = report
  a.host.measure(forkId).then(
    (size) =>
      answer(a, order, (one) =>
        one.reply({ node: a.node, forkId, phase, ready, readyReason, pid, exit, ...size } as never),
      ),
    (error: unknown) => answer(a, order, (one) => one.fault(toFault(error))),
  )
}

function remember(a: LiveAgent, { epoch, order }: CommandOf<'remember'>): void {
  a.store.write({ epoch }).then(
    () => order !== null && a.actor.post({ type: 'remembered', order }),
    (error: unknown) => {
      a.log({ msg: 'the epoch cannot be remembered', error: String(error) })
      if (order !== null) answer(a, order, (one) => one.fault(toFault(error, 'SPOOL')))
    },
  )
}

function readTail({ messenger, actor, clock, log }: LiveAgent): void {
  readStateTail(messenger, 'copy')
    .then((tail) =>
      actor.post({ type: 'tail', epoch: tail?.epoch ?? null, seq: tail?.seq ?? 0, at: clock.now() }),
    )
    .catch((error: unknown) => {
      if (!isFault(error, 'CONN') && !isFault(error, 'TIMEOUT'))
        log({ msg: 'the state log cannot be read', error: String(error) })
      actor.post({ type: 'tail-unreadable', at: clock.now() })
    })
}

function roundTrip({ bus, host, actor, clock }: LiveAgent): void {
  const sentAt = clock.now()
  bus.roundTripMs().then(
    () => {
      host.renewFences(clock.now() - sentAt)
      actor.post({ type: 'round-trip', sentAt })
    },
    () => undefined, // no contact: the fence waits for that
  )
}

function join(a: LiveAgent): void {
  const { messenger, bus, fleet, node, incarnation, actor, clock } = a
  const orders = ORDER_VERBS.map((verb) =>
    messenger.serve(`node.${verb}`, { node, incarnation }, ({ body, headers }, responder) =>
      offer(a, responder, (order) => ({
        type: 'order',
        order,
        request: { verb, body } as Order,
        ...readOrderHeaders(headers),
        at: clock.now(),
      })),
    ),
  )
  const resync = bus.subscribe(subjectOf(fleet, 'nodes.resync', {}), () =>
    actor.post({ type: 'resync', at: clock.now() }),
  )
  for (const subscription of [...orders, resync]) a.stops.push(() => subscription.unsubscribe())
  a.onJoined()
}

export function end(a: LiveAgent, why: AgentEnd['why']): void {
  a.actor.halt()
  for (const stop of a.stops) stop()
  for (const { subscription } of a.health.values()) subscription.unsubscribe()
  a.emitter.stop()
  a.logServer.stop()
  endHost(a, why)
    .catch((error: unknown) => a.log({ msg: 'the agent did not end in order', error: String(error) }))
    .finally(() => a.onEnded({ why }))
}

/** Only the owner of a spool closes it: another agent may have taken the spool of one that was superseded. */
async function endHost({ shipper, bus, host, clock }: LiveAgent, why: AgentEnd['why']): Promise<void> {
  await shipper.stop({ keepMarks: why === 'stopped' })
  if (why === 'superseded') return
  const flushed = bus.flush().catch(() => undefined)
  await Promise.race([flushed, new Promise<void>((resolve) => clock.after(FLUSH_MS, resolve))])
  await host.close()
}
