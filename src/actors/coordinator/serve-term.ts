/**
 * A term of a leader, from its first fact to its end: the actor over core's step, what it hears, and the
 * queue of launches, which opens when the fleet's streams are there.
 */
import type { CoordinatorCommand, CoordinatorEvent } from '../../core/coordinator/messages.ts'
import { newState } from '../../core/coordinator/new-state.ts'
import { stepCoordinator } from '../../core/coordinator/step.ts'
import type { StateOp } from '../../protocol/records.ts'
import { ensureStreams } from '../../transport/streams.ts'
import { runActor, type ActorHandle } from '../kernel.ts'
import { archiveOn } from './archive.ts'
import { beatClocks } from './beat-clocks.ts'
import { serveLaunchQueue } from './launch-queue.ts'
import { askForResync, listen } from './listen.ts'
import { findLostRun } from './lost-history.ts'
import { perform } from './perform.ts'
import { publisherOn } from './publisher.ts'
import { after, eventOf, post, tellLostHistory, type TermOptions, type TermState } from './term-state.ts'
import { unwritableRuns } from './unwritable.ts'

/** What a leader has and a standby has not. */
export interface ServedTerm {
  readonly actor: ActorHandle<CoordinatorEvent>
  close(): void
}

const RETRY_MS = 500

export function serveTerm(options: TermOptions): ServedTerm {
  const { messenger, clock, settings, term, log, bus } = options
  const t: TermState = {
    ...options,
    open: true,
    wallBase: clock.wall() - clock.now(),
    actor: runActor<ReturnType<typeof newState>, CoordinatorEvent, CoordinatorCommand, StateOp>({
      state: newState({
        settings,
        incarnation: options.incarnation,
        storeId: term.epoch.storeId,
        durable: term.durable,
      }),
      step: (state, event) => stepOrCrash(t, state, event),
      perform: (command) => perform(t, command),
      persistOf: (command) => (command.kind === 'persist' ? command.ops : null),
      persist: async (ops) => {
        for (const fact of t.unwritable.note(ops, await term.persist(ops))) post(t, fact)
      },
      mayPerform: () => term.leased(),
      ...(options.onStep !== undefined && { onStep: options.onStep }),
    }),
    responders: new Map(),
    clocks: beatClocks(() => clock.now(), settings.lostAfterMs),
    publisher: publisherOn({ messenger, after: (ms, fn) => after(t, ms, fn), log }),
    archive: archiveOn(options),
    unwritable: unwritableRuns(log),
    queue: null,
    toldLost: false,
  }
  const stopListening = listen(t)
  post(t, { kind: 'led' })
  if (term.lost !== null) tellLostHistory(t, term.lost)
  if (!bus.connected) post(t, { kind: 'link', up: false })
  askForResync(t)
  void openQueue(t)
  return {
    actor: t.actor,
    close() {
      t.open = false
      t.actor.halt()
      stopListening()
      t.queue?.close()
    },
  }
}

function stepOrCrash(
  { log, end }: TermState,
  state: ReturnType<typeof newState>,
  event: CoordinatorEvent,
): ReturnType<typeof stepCoordinator> {
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
}

async function openQueue(t: TermState): Promise<void> {
  const { bus, messenger, fleet, clock, log } = t
  try {
    await ensureStreams(bus, fleet, t.settings.replicas)
    const lost = await findLostRun(messenger, (run) => t.term.durable.runs.has(run))
    if (!t.open) return
    if (lost !== null) tellLostHistory(t, lost)
    const serving = await serveLaunchQueue({
      bus,
      messenger,
      fleet,
      clock,
      log,
      offer: (fact) => t.open && t.term.leased() && t.actor.offer(eventOf(t, fact)),
    })
    if (t.open) t.queue = serving
    else serving.close()
  } catch (error) {
    log({ level: 'warn', msg: 'the streams of the fleet cannot be made yet', error: String(error) })
    after(t, RETRY_MS, () => void openQueue(t))
  }
}
