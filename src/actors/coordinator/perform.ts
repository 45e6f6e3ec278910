/**
 * Performs what core/coordinator decided, one command at a time. Orders to nodes leave by order.ts; their
 * outcomes come back as facts.
 */
import type { CoordinatorCommand } from '../../core/coordinator/messages.ts'
import { Fault, toFault } from '../../protocol/faults.ts'
import type { RunStatus } from '../../protocol/shapes.ts'
import type { ReplyOf } from '../../protocol/table.ts'
import { archiveAtLast } from './archive.ts'
import { sendOrder } from './send-order.ts'
import { after, post, takeResponder, type TermState } from './term-state.ts'

type ArchiveCommand = Extract<CoordinatorCommand, { kind: 'reply-from-archive' }>

export function perform(t: TermState, command: CoordinatorCommand): void {
  const fault = t.unwritable.faultOf(command)
  if (fault !== undefined) return refuse(t, command, fault)
  switch (command.kind) {
    case 'persist':
      return
    case 'order':
      return void sendOrder(t, command.order)
    case 'reply':
      return takeResponder(t, command.request)?.reply(command.body as never)
    case 'refuse':
      return takeResponder(t, command.request)?.fault(Fault.fromBody(command.fault))
    case 'reply-plan':
      return replyPlan(t, command)
    case 'reply-from-archive':
      return void replyFromArchive(t, command)
    case 'answer-queued':
      return t.publisher.whenTold(command.told, () => t.queue?.answer(command.seq, command))
    case 'publish':
      return t.publisher.publish(command)
    case 'archive':
      return void archiveRun(t, command.status)
    case 'timer':
      return after(t, Math.max(0, command.at - t.clock.now()), () =>
        post(t, { kind: 'timer', timer: command.timer }),
      )
    case 'log':
      return t.log({ level: command.level, ...command.fields })
    case 'end':
      t.log({ msg: 'ends', why: command.why })
      return t.end('idle')
    default:
      return command satisfies never
  }
}

/** What the command rests on can never be written: its asker gets the refusal, and all else is left out. */
function refuse(t: TermState, command: CoordinatorCommand, fault: Fault): void {
  if (command.kind === 'reply') takeResponder(t, command.request)?.fault(fault)
  if (command.kind === 'answer-queued') t.queue?.giveBack(command.seq)
}

function replyPlan(
  t: TermState,
  { request, body }: Extract<CoordinatorCommand, { kind: 'reply-plan' }>,
): void {
  const { launch } = body
  const backend = t.backends?.find(({ name }) => name === launch?.backend)
  const lines = launch === null ? [] : (backend?.plan(launch).lines ?? [])
  takeResponder(t, request)?.reply({ ...body, plan: [...lines, ...body.plan] } as never)
}

function replyFromArchive(t: TermState, command: ArchiveCommand): Promise<void> {
  const responder = takeResponder(t, command.request)
  const answer = command.verb === 'status' ? statusFromArchive(t, command) : t.archive.list(command)
  return answer.then(
    (body) => responder?.reply(body as never),
    (error: unknown) => responder?.fault(toFault(error)),
  )
}

async function statusFromArchive(
  { archive }: TermState,
  { query, fault }: Extract<ArchiveCommand, { verb: 'status' }>,
): Promise<ReplyOf<'coordinator.status'>> {
  const page = await archive.status(query)
  if (page === null) throw Fault.fromBody(fault)
  return page
}

async function archiveRun(t: TermState, status: RunStatus): Promise<void> {
  await archiveAtLast(t.archive, status, { after: (ms, fn) => after(t, ms, fn), log: t.log })
  post(t, { kind: 'archived', run: status.run })
}
