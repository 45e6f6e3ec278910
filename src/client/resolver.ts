/**
 * From the word for a run (a name, an id, its prefix, `last`, `all`) to runs, and the answer when there is
 * none.
 */
import { RUN_WORDS } from '../protocol/names.ts'
import { Fault, isFault, toFault } from '../protocol/faults.ts'
import type { RunSummary } from '../protocol/run-summary.ts'
import { EVERYBODY, looksLikeId, matchRuns } from './match-runs.ts'
import { readRuns, type Asker } from './pages.ts'
import { parseRef, type Ref } from './refs.ts'
import { FAILOVER_MS, patiently } from './timing.ts'

/** A word is looked for among this many ended runs, the newest: a fleet may keep a hundred thousand. */
const RECENT = 500

export interface Resolving {
  /** whose runs names, `last` and `all` mean: a user's, or `all`; default: one's own first */
  runsOf?: string | undefined
  /** told when a word was found to mean one of several runs, or a run of somebody else's */
  onChoice?: ((choice: string) => void) | undefined
}

export interface Resolver {
  list(options?: { all?: boolean; onPartial?(why: string): void }): Promise<RunSummary[]>
  resolve(text: string, options?: { acts?: boolean }): Promise<Ref[]>
  /** @throws {Fault} USAGE when several runs fit */
  one(text: string, options?: { acts?: boolean }): Promise<Ref>
  /**
   * Act on a run whose word may only look like an id: a name can, too. A word that is neither gets the same
   * answer as any other, unless the coordinator knows that history was lost.
   */
  knowing<T>(ref: Ref, act: (ref: Ref) => Promise<T>, options?: { acts?: boolean }): Promise<T>
}

export function resolverOn(asker: Asker, { runsOf, onChoice }: Resolving = {}): Resolver {
  const { user } = asker
  const list: Resolver['list'] = async ({ all = false, onPartial } = {}) => {
    const { runs, partial } = await readRuns(asker, all ? Infinity : 0)
    if (partial !== null) onPartial?.(partial)
    return runs
  }
  const matched = async (ref: Ref, acts: boolean, known?: readonly RunSummary[]): Promise<Ref[]> => {
    const runs = known ?? (await runsFor(ref.run, asker, runsOf))
    const found = matchRuns(ref.run, runs, { user, runsOf, acts, now: Date.now() })
    if (found.choice !== null) onChoice?.(found.choice)
    return found.runs.map((run) => ({ ...ref, run }))
  }
  const resolve: Resolver['resolve'] = async (text, { acts = false } = {}) => {
    const ref = parseRef(text)
    return looksLikeId(ref.run) ? [ref] : matched(ref, acts)
  }
  const one: Resolver['one'] = async (text, options) => {
    const refs = await resolve(text, options)
    if (refs.length !== 1)
      throw new Fault('USAGE', `'${text}' fits ${refs.length} runs, and one is wanted here`, {
        data: { candidates: refs.map((ref) => ref.run) },
      })
    return refs[0]!
  }
  const knowing: Resolver['knowing'] = async (ref, act, { acts = false } = {}) => {
    try {
      return await act(ref)
    } catch (error) {
      if (!isFault(error, 'WORKER_NOT_FOUND') || error.data['reason'] === 'lost') throw error
      if (await isThere(asker, ref.run)) throw error
      const [named] = await matched(ref, acts, await runsFor(ref.run, asker, runsOf).catch(() => []))
      return act(named!)
    }
  }
  return { list, resolve, one, knowing }
}

/** The newest runs, or all where the word may stand for an older one. */
async function runsFor(
  word: string,
  asker: Asker,
  runsOf: string | undefined,
): Promise<readonly RunSummary[]> {
  const recent = await readRuns(asker, RECENT)
  const meant = recent.runs.filter((run) => runsOf === EVERYBODY || run.user === (runsOf ?? asker.user))
  const isFound = meant.some(({ run }) => run.startsWith(word) || RUN_WORDS.includes(word))
  return isFound || recent.partial === null ? recent.runs : (await readRuns(asker, Infinity)).runs
}

function isThere({ messenger, user }: Asker, run: string): Promise<boolean> {
  return patiently(() => messenger.ask('coordinator.status', { user }, { run, count: 1 }), {
    boundMs: FAILOVER_MS,
  }).then(
    () => true,
    (error: unknown) => toFault(error).code !== 'WORKER_NOT_FOUND',
  )
}
