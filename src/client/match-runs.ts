/**
 * Which run a word stands for, of those that are known. Pure.
 *
 * A whole id stands for its run. A name stands for its live run, else for its newest, and wins over a prefix
 * of an id. `last` is the newest run, ended or not, `all` are those that have not ended. Names and words mean
 * the asker's own runs first. A prefix of an id has to be unique; for an order that ends or signals it has to
 * reach into the hash, since `train` must not end `train-eval-4f992d3b3f53`.
 */
import { Fault } from '../protocol/faults.ts'
import { nearest, RUN_HASH_CHARS } from '../protocol/names.ts'
import type { RunSummary } from '../protocol/run-summary.ts'
import { isTerminal } from '../protocol/shapes.ts'

export interface Matching {
  /** who asks */
  user: string
  /** whose runs are meant: a user's, or `all`; left out: the asker's own, and others' where there is none */
  runsOf?: string | undefined
  /** for an order that ends or signals */
  acts?: boolean
  /** Unix ms */
  now: number
}

export interface Match {
  runs: string[]
  /** which run was chosen, and of how many, in one line; null when nothing was left to choose */
  choice: string | null
}

export const EVERYBODY = 'all'
const CANDIDATES_SHOWN = 8
const FULL_ID = new RegExp(`^[A-Za-z0-9][A-Za-z0-9_-]*-[0-9a-f]{${RUN_HASH_CHARS}}$`)

/** It may be a whole run id. A name can look so, too. */
export function looksLikeId(word: string): boolean {
  return FULL_ID.test(word)
}

/**
 * @param runs  all that are known, ended ones too
 * @throws {Fault} WORKER_NOT_FOUND, AMBIGUOUS with the candidates
 */
export function matchRuns(word: string, runs: readonly RunSummary[], matching: Matching): Match {
  if (runs.some(({ run }) => run === word)) return { runs: [word], choice: null }
  const [meant, others] = scopesOf(runs, matching)
  if (word === 'all')
    return { runs: meant.filter((run) => !isTerminal(run.state)).map(({ run }) => run), choice: null }
  if (word === 'last') return lastOf(meant, matching)
  for (const scope of [meant, others]) {
    const named = scope.filter(({ name }) => name === word)
    if (named.length > 0) return ofOneName(word, named, matching)
  }
  for (const scope of [meant, others]) {
    const [first, ...more] = scope.filter((run) => hasPrefix(run, word, matching.acts === true))
    if (first === undefined) continue
    if (more.length > 0) throw ambiguous(word, [first, ...more], matching.now)
    return { runs: [first.run], choice: reachesHash(first, word) ? null : chosen(word, first, matching.now) }
  }
  throw notFound(word, runs)
}

/** Those that are meant, and those that are meant where there is none among them. */
function scopesOf(
  runs: readonly RunSummary[],
  { user, runsOf }: Matching,
): [readonly RunSummary[], readonly RunSummary[]] {
  if (runsOf === EVERYBODY) return [runs, []]
  const meant = runs.filter((run) => run.user === (runsOf ?? user))
  return [meant, runsOf === undefined ? runs : []]
}

function lastOf(runs: readonly RunSummary[], { runsOf, acts, now }: Matching): Match {
  const newest = newestOf(runs)
  if (newest === undefined)
    throw new Fault(
      'WORKER_NOT_FOUND',
      runsOf === undefined ? 'you have no run yet' : `there is no run of ${runsOf} yet`,
      { hint: 'start one with: troupe run -- COMMAND; with --user it is the newest of all' },
    )
  return { runs: [newest.run], choice: acts === true ? chosen('last', newest, now) : null }
}

function newestOf(runs: readonly RunSummary[]): RunSummary | undefined {
  return runs.toSorted((a, b) => b.acceptedAt - a.acceptedAt)[0]
}

function ofOneName(word: string, named: readonly RunSummary[], { user, acts, now }: Matching): Match {
  const live = named.filter((run) => !isTerminal(run.state))
  if (live.length > 1) throw ambiguous(word, live, now)
  const run = live[0] ?? newestOf(named)!
  const others = named.length - 1
  const beside = others === 0 ? '' : `; ${others} ${others === 1 ? 'other has' : 'others have'} ended`
  const isPlain = others === 0 && run.user === user && acts !== true
  return { runs: [run.run], choice: isPlain ? null : `${chosen(word, run, now)}${beside}` }
}

function hasPrefix(run: RunSummary, word: string, acts: boolean): boolean {
  return run.run.startsWith(word) && (!acts || reachesHash(run, word))
}
/** The name of an id ends at the dash before its hash. */
function reachesHash({ run }: RunSummary, word: string): boolean {
  return word.length > run.length - RUN_HASH_CHARS
}

function chosen(word: string, run: RunSummary, now: number): string {
  return `'${word}' is ${candidateText(run, now)}`
}
function candidateText(run: RunSummary, now: number): string {
  return `${run.run} (${run.state}, of ${run.user}, ${ageText(now - run.acceptedAt)} old)`
}

/** `45 s`, `12 min`, `5 h`, `3 d` */
function ageText(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 100) return `${seconds} s`
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`
  return seconds < 172_800 ? `${Math.round(seconds / 3600)} h` : `${Math.round(seconds / 86_400)} d`
}

function ambiguous(word: string, found: readonly RunSummary[], now: number): Fault {
  const newestFirst = found.toSorted((a, b) => b.acceptedAt - a.acceptedAt)
  const shown = newestFirst.slice(0, CANDIDATES_SHOWN).map((run) => candidateText(run, now))
  return new Fault(
    'AMBIGUOUS',
    `'${word}' fits ${found.length} runs: ${shown.join(', ')}${found.length > shown.length ? ', …' : ''}`,
    {
      data: {
        candidates: newestFirst.map(({ run }) => run),
        runs: newestFirst.map(({ run, state, user, acceptedAt }) => ({
          run,
          state,
          user,
          ageMs: Math.max(0, now - acceptedAt),
        })),
      },
      hint: 'type more of the id',
    },
  )
}

function notFound(word: string, runs: readonly RunSummary[]): Fault {
  const longer = runs.find(({ run }) => run.startsWith(word))
  const near =
    longer?.run ??
    nearest(
      word,
      runs.flatMap((r) => [r.run, r.name]),
    )
  return new Fault(
    'WORKER_NOT_FOUND',
    `there is no run '${word}'${near === null ? '' : `; did you mean '${near}'?`}`,
    { hint: 'all runs: troupe ps --all' },
  )
}
