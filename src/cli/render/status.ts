/** A run for people: the failure first, then what it is, then its workers. Pure: text from a status. */
import { leftText } from '../../protocol/exit-words.ts'
import { isTerminal, type RunStatus, type WorkerStatus } from '../../protocol/shapes.ts'
import { sentTexts } from '../../protocol/signal-words.ts'
import { leftLines, savedLines } from './ends.ts'
import { table } from './table.ts'
import { durationText, exitText, receiptText } from './text.ts'

const LAST_LINES = 15

/** Who failed first, how, its last lines, and how long its peers took to stop; empty when nothing failed. */
export function failureBlock(status: RunStatus): string {
  const failure = status.firstFailure
  if (failure === null)
    return isTerminal(status.state) && !['succeeded', 'cancelled'].includes(status.state)
      ? `${status.state.toUpperCase()}  ${status.reason ?? 'no reason was given'}\n`
      : ''
  const rank = failure.rank === undefined ? '' : `, rank ${failure.rank}`
  const lines = [
    `FAILED  ${failure.worker}${rank} on ${failure.node} ${exitText(failure.exit)}${failure.uncertain ? ' (perhaps not the first: too close to tell)' : ''}`,
  ]
  const left = leftText(failure.exit)
  if (left !== null) lines.push(`  ${left}`)
  for (const line of failure.stderrTail.slice(-LAST_LINES)) lines.push(`  | ${line}`)
  if (failure.stderrTail.length === 0) lines.push('  | (nothing on stderr or stdout)')
  // what ended by itself was not stopped
  const peers = status.workers.filter(
    (worker) =>
      worker.worker !== failure.worker && worker.startedAt !== null && worker.exit?.killedBy != null,
  ).length
  if (status.stopMs !== null && peers > 0)
    lines.push(
      `  ${peers} ${peers === 1 ? 'peer was' : 'peers were'} stopped within ${durationText(status.stopMs)}`,
    )
  return `${lines.join('\n')}\n`
}

export function statusText(status: RunStatus): string {
  const { queuedMs, startMs, runMs } = status.clocks
  const facts: [string, string][] = [
    ['run', status.run],
    ['user', status.user],
    ['state', `${status.state}${status.reason === null ? '' : ` (${status.reason})`}`],
    ...helpFacts(status),
    ...(status.code === null ? [] : [['code', String(status.code)] as [string, string]]),
    ['attempt', String(status.attempt)],
    [
      'clocks',
      `queued ${durationText(queuedMs)}, start ${durationText(startMs)}, run ${durationText(runMs)}`,
    ],
    ...(status.note == null ? [] : [['note', status.note] as [string, string]]),
    ...(status.stopMs === null
      ? []
      : [['stopped', `within ${durationText(status.stopMs)}`] as [string, string]]),
  ]
  const parts = [
    failureBlock(status),
    facts.map(([name, value]) => `${name.padEnd(9)}${value}\n`).join(''),
    table(
      ['ROLE', 'KIND', 'STATE', 'READY', 'SKEW'],
      status.roles.map((role) => [
        role.role,
        role.kind,
        role.state,
        `${role.ready}/${role.workers}`,
        role.startSkewMs === null ? null : `${Math.round(role.startSkewMs)} ms`,
      ]),
    ),
    table(
      ['WORKER', 'NODE', 'STATE', 'READY', 'PID', 'ADDR', 'EXIT', 'RECEIPT'],
      status.workers.flatMap(workerRows),
    ),
    attemptsTable(status.workers),
    signalsTable(status.workers),
    [...savedLines(status), ...leftLines(status)].map((line) => `${line}\n`).join(''),
    status.stragglers.length === 0
      ? ''
      : table(
          ['STRAGGLER', 'KIND', 'BY', ''],
          status.stragglers.map((s) => [
            s.rank === undefined ? s.worker : `${s.worker} rank ${s.rank}`,
            s.kind,
            durationText(s.ms),
            s.text,
          ]),
        ),
  ]
  return parts.filter((part) => part !== '').join('\n')
}

/** What would help: the fact, and what to type. */
function helpFacts({ help }: RunStatus): [string, string][] {
  const facts: [string, string | null][] = [
    ['help', help?.text ?? null],
    ['next', help?.next ?? null],
  ]
  return facts.flatMap(([name, text]) => (text === null ? [] : [[name, text]]))
}

/** Of workers that were started more than once: how each attempt ended. */
function attemptsTable(workers: readonly WorkerStatus[]): string {
  const again = workers.filter(
    ({ attempts, attemptsForgotten = 0 }) => attempts.length + attemptsForgotten > 1,
  )
  if (again.length === 0) return ''
  return table(
    ['WORKER', 'ATTEMPT', 'NODE', 'ENDED', 'LAST LINE'],
    again.flatMap(({ role, index, attempts, attemptsForgotten = 0 }) => [
      ...(attemptsForgotten > 0
        ? [[`${role}/${index}`, null, null, `${attemptsForgotten} before`, null]]
        : []),
      ...attempts.map(({ attempt, node, reason, lastWords }) => [
        `${role}/${index}`,
        attempt,
        node,
        reason,
        lastWords.at(-1) ?? null,
      ]),
    ]),
  )
}

/** What persons sent to the latest attempts. */
function signalsTable(workers: readonly WorkerStatus[]): string {
  const rows = workers.flatMap(({ role, index, signals = [] }) =>
    sentTexts(signals).map((text) => [`${role}/${index}`, text]),
  )
  return rows.length === 0 ? '' : table(['WORKER', 'SIGNAL'], rows)
}

/** What has ended says how in the columns EXIT and RECEIPT. */
function stateText({ state, reason, exit }: WorkerStatus): string {
  return reason === null || (state === 'exited' && exit !== null) ? state : `${state} (${reason})`
}

function workerRows(worker: WorkerStatus): (string | number | null)[][] {
  return [
    [
      `${worker.role}/${worker.index}`,
      worker.node,
      stateText(worker),
      worker.ready ? 'yes' : 'no',
      worker.pid,
      worker.addr,
      worker.exit && exitText(worker.exit),
      receiptText(worker.receipt),
    ],
    ...worker.ranks.map((rank) => [
      `  ${worker.role}:${rank.rank}`,
      null,
      rank.state,
      null,
      rank.pid,
      null,
      rank.exit && exitText(rank.exit),
      null,
    ]),
  ]
}
