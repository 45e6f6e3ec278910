/**
 * Why something is as it is, and what to look at next: one line for a run or a worker, and the lines of
 * `explain`.
 */
import { causeText } from '../../protocol/causes.ts'
import { leftBehindText, leftText } from '../../protocol/exit-words.ts'
import { type FirstFailure, type ForkReport, isTerminal } from '../../protocol/shapes.ts'
import { sentTexts } from '../../protocol/signal-words.ts'
import type { ReplyOf } from '../../protocol/table.ts'
import { attemptsOf, lastRun, overText } from './attempts.ts'
import { cutOffWorker } from './cut-off.ts'
import { cutRanks } from './cut-ranks.ts'
import { restartText } from './events.ts'
import { exitedCleanly, exitText } from './exit-code.ts'
import { type Help, helpOf, startAgent, unmetOf } from './help.ts'
import { noteOf } from './notes.ts'
import { hasLeft, isLeftOut } from './outcome.ts'
import { clockOf, clocksAt } from './run-state.ts'
import { saveText } from './saves.ts'
import { secondsText } from './seconds-text.ts'
import { live, stageOf } from './stages.ts'
import type { Ctx, NodeLive, RoleLive, Run, Worker } from './types.ts'
import { viewOf } from './worker.ts'

/**
 * Its orders are all refused until a person says that the store is right; nothing else would tell why nothing
 * happens.
 */
function refusal(node: NodeLive | undefined): string | null {
  return node?.storeRefused
    ? `node ${node.name} does not know this state store and refuses its orders: troupe nodes adopt ${node.name}`
    : null
}

/** What holds a role back; null when nothing does. */
function roleWaits(ctx: Ctx, role: RoleLive): string | null {
  const { spec, run, counts } = role
  if (role.restart !== null)
    return `role ${spec.name} is started again when ${role.restart.workers.filter(live).length} of its workers are gone (${restartText(role.restart)})`
  if (
    counts.waiting === 0 ||
    role.workers.every((worker) => worker.record.phase !== 'waiting' || isLeftOut(worker))
  )
    return null
  const until = run.record.backoffUntil[spec.name] ?? 0
  if (until > ctx.wall)
    return `waiting for a retry of role ${spec.name} in ${secondsText(until - ctx.wall)}${role.busy === null ? '' : ` (${role.busy.text})`}`
  const unmet = unmetOf(role)
  if (
    unmet === undefined ||
    role.workers.some(
      (worker) => worker.record.phase === 'waiting' && worker.record.node === null && !isLeftOut(worker),
    )
  )
    return run.placeReason ?? 'waiting for nodes'
  return `role ${spec.name} waits for ${unmet.role} to be ${unmet.condition}${notReady(run.byRole.get(unmet.role)!)}`
}

function notReady(role: RoleLive): string {
  const worker = role.workers.find((one) => one.report?.readyReason != null && !one.report.ready)
  return worker === undefined ? '' : ` (${worker.id}: ${worker.report!.readyReason})`
}

function lostWorkers(ctx: Ctx, run: Run): Worker[] {
  return run.workers.filter(
    (worker) =>
      live(worker) && worker.record.node !== null && ctx.s.nodes.get(worker.record.node)?.state === 'lost',
  )
}

function lostTextOf([first, ...others]: readonly Worker[]): string | null {
  if (first === undefined) return null
  const are = others.length > 0 ? `and ${others.length} more are` : 'is'
  return `${first.id} ${are} lost: node ${first.record.node} is silent; its processes may be running`
}

export function reasonOf(ctx: Ctx, run: Run): string | null {
  const { record } = run
  if (isTerminal(record.state)) return record.reason
  const lostText = lostTextOf(lostWorkers(ctx, run))
  if (record.stopping !== null) {
    const { text } = record.stopping
    return lostText === null
      ? text
      : `${text}; ${lostText} (end it without proof: troupe stop ${record.run} --force)`
  }
  if (lostText !== null) return lostText
  const refusing = run.workers.find(
    (worker) =>
      live(worker) && worker.record.node !== null && ctx.s.nodes.get(worker.record.node)?.storeRefused,
  )
  if (refusing !== undefined) return `${refusing.id}: ${refusal(ctx.s.nodes.get(refusing.record.node!))}`
  for (const role of run.roles) {
    const waits = roleWaits(ctx, role)
    if (waits === null) continue
    const [refusing] = record.state === 'pending' ? ctx.s.refusing : []
    return refusing === undefined ? waits : `${waits}; ${refusal(refusing)}`
  }
  for (const role of run.roles) {
    const { placed, prepared } = role.counts
    if (placed + prepared > 0)
      return `starting role ${role.spec.name}: ${placed + prepared} of ${role.workers.length} to go`
  }
  return null
}

/** What holds each role back, looked for once however many workers ask. */
export type Waits = (role: RoleLive) => string | null
export function rememberWaits(ctx: Ctx): Waits {
  const known = new Map<RoleLive, string | null>()
  return (role) => {
    if (!known.has(role)) known.set(role, roleWaits(ctx, role))
    return known.get(role)!
  }
}

export function workerReason(ctx: Ctx, worker: Worker, waits = rememberWaits(ctx)): string | null {
  const { record, report } = worker
  const node = record.node === null ? undefined : ctx.s.nodes.get(record.node)
  switch (stageOf(worker)) {
    case 'waiting':
      if (isTerminal(worker.run.record.state)) return overText(worker)
      if (isLeftOut(worker)) return 'left out: its elastic role started with fewer nodes'
      return withLastRun(worker, waits(worker.role))
    case 'ended': {
      const { receipt } = viewOf(worker)
      const left =
        receipt !== null && receipt.outcome !== 'gone'
          ? `; its tree is ${receipt.outcome}${receipt.reason === null ? '' : ` (${receipt.reason})`}`
          : ''
      const said = [overText(worker), saveText(ctx, worker), leftBehindText(receipt)]
      return `${said.filter((text) => text !== null).join('; ')}${left}${hasLeft(worker) ? '; its role went on without it' : ''}`
    }
    default:
      if (node?.state === 'lost')
        return `node ${node.name} is lost (${node.reason}); its processes may be running`
      if (node !== undefined && node.state === 'suspect')
        return `node ${node.name} is suspect: ${node.reason}`
      if (node?.storeRefused) return refusal(node)
      if (worker.spoolLost) return `node ${record.node} has lost its spool`
      if (record.ending !== null)
        return [`it is being ended by ${causeText(record.ending)}`, saveText(ctx, worker)]
          .filter((text) => text !== null)
          .join('; ')
      if (report === null) return `it is being prepared on ${record.node}`
      if (report.phase === 'prepared') return 'it is prepared; its gang is not yet'
      return (
        [notReadyText(report), cutOffWorker(ctx, worker, node)].filter((text) => text !== null).join('; ') ||
        null
      )
  }
}

function notReadyText({ ready, readyReason, phase }: ForkReport): string | null {
  return ready ? null : (readyReason ?? (phase === 'running' ? 'its probe has not said yes yet' : null))
}

function withLastRun(worker: Worker, text: string | null): string | null {
  const last = lastRun(worker)
  return text === null || last === null ? text : `${text}; attempt ${last.attempt} ${last.reason}`
}

type Line = ReplyOf<'coordinator.explain'>['lines'][number]

/** Failed attempts that have lines of their own. */
const ATTEMPTS_SHOWN = 20

/** How earlier attempts failed: the latest has the worker's own line. */
function attemptLines(workers: readonly Worker[]): Line[] {
  const lines = workers.flatMap((worker) =>
    attemptsOf(worker).flatMap(({ attempt, node, exit, reason, lastWords }): Line[] =>
      attempt === worker.record.attempt || exit === null || exit.killedBy !== null || exitedCleanly(exit)
        ? []
        : [
            {
              subject: worker.id,
              text: `attempt ${attempt} ${reason} on ${node}${lastWords.length > 0 ? `; last line: ${lastWords.at(-1)}` : ''}`,
              next: `troupe logs ${worker.id} --attempt ${attempt}`,
            },
          ],
    ),
  )
  return lines.slice(-ATTEMPTS_SHOWN)
}

export function explainRun(ctx: Ctx, run: Run, only: (worker: Worker) => boolean): Line[] {
  const { record } = run
  const id = record.run
  const clocks = clocksAt(run, ctx.wall)
  const ticking = clockOf(record.state)
  const clock =
    ticking === null
      ? `queue ${secondsText(clocks.queuedMs)}, start ${secondsText(clocks.startMs)}, run ${secondsText(clocks.runMs)}`
      : `the ${{ queuedMs: 'queue', startMs: 'start', runMs: 'run' }[ticking]} clock ticks: ${secondsText(clocks[ticking])}${limitText(run, ticking)}`
  const [reason, help] = [reasonOf(ctx, run), helpOf(ctx, run)]
  const state = `${record.state}${reason === null ? '' : `: ${reason}`}`
  const events = record.state === 'starting' ? `troupe events ${id}` : null
  const lines: Line[] = [
    {
      subject: id,
      text: `${state}; ${clock}${help?.text == null ? '' : `; ${help.text}`}`,
      next: help?.next ?? events,
    },
  ]
  const note = noteOf(ctx, run)
  if (note !== null) lines.push({ subject: id, text: note, next: null })
  const failure = record.firstFailure?.failure ?? null
  if (failure !== null) {
    const role = failure.worker.split('/').slice(0, 2).join('/')
    const inRole = failure.rank === undefined ? failure.worker : role
    const name = failure.rank === undefined ? failure.worker : `${role}:${failure.rank}`
    lines.push({
      subject: name,
      text: firstFailureText(failure),
      next: `troupe logs ${inRole}${failure.rank === undefined ? '' : ` --rank ${failure.rank}`} --tail 50`,
    })
  }
  const asked = run.workers.filter(only)
  lines.push(...attemptLines(asked))
  for (const worker of asked) {
    const text = workerReason(ctx, worker)
    if (text !== null) lines.push({ subject: worker.id, text, next: nextForWorker(ctx, worker, help) })
    for (const sent of sentTexts(worker.report?.signals ?? []))
      lines.push({ subject: worker.id, text: `got ${sent}`, next: null })
    lines.push(...cutRanks(worker))
  }
  return lines
}

function firstFailureText({ uncertain, exit, node, stderrTail }: FirstFailure): string {
  const doubt = uncertain ? ' (uncertain: clocks cannot decide)' : ''
  const words = stderrTail.length > 0 ? `; last line: ${stderrTail.at(-1)}` : ''
  const left = leftText(exit)
  return `failed first${doubt}: ${exitText(exit)} on ${node}${left === null ? '' : `; ${left}`}${words}`
}

function limitText(run: Run, clock: 'queuedMs' | 'startMs' | 'runMs'): string {
  const { queueMs, startMs, runMs } = run.spec.deadlines
  const limit = { queuedMs: queueMs, startMs, runMs }[clock]
  return limit === null ? ', without a deadline' : ` of ${secondsText(limit)}`
}

function nextForWorker(ctx: Ctx, worker: Worker, help: Help | null): string | null {
  const { record, run, role } = worker
  const node = record.node === null ? undefined : ctx.s.nodes.get(record.node)
  if (live(worker) && node !== undefined && node.state !== 'ready')
    return node.state === 'lost' ? startAgent(ctx, node.name) : 'troupe nodes'
  if (record.phase === 'waiting' && !isTerminal(run.record.state)) {
    if (isLeftOut(worker)) return null
    const unmet = unmetOf(role)
    if (unmet !== undefined) return `troupe explain ${run.record.run}/${unmet.role}`
    return record.node === null ? (help?.next ?? null) : null
  }
  return record.attempt > 0 ? `troupe logs ${worker.id}` : null
}
