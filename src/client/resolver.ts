/** From the word for a run (an id, a prefix, `last`, `all`) to runs, and the answer when there is none. */
import { Fault, isFault, toFault } from '../protocol/faults.ts'
import type { RunSummary } from '../protocol/shapes.ts'
import { readRuns, type Asker } from './pages.ts'
import { isFullId, matchRuns, notFound, parseRef, type Ref } from './refs.ts'
import { FAILOVER_MS, patiently } from './timing.ts'

/** A word is looked for among this many ended runs, the newest: a fleet may keep a hundred thousand. */
const RECENT = 500
const WORDS = ['last', 'all']

export interface Resolver {
  list(options?: { all?: boolean; onPartial?(why: string): void }): Promise<RunSummary[]>
  resolve(text: string): Promise<Ref[]>
  /** @throws {Fault} USAGE when several runs fit */
  one(text: string): Promise<Ref>
  /**
   * A word that looked like a whole id and is none gets the same answer as any other word, unless the
   * coordinator knows that history was lost.
   */
  knowing<T>(ref: Ref, act: () => Promise<T>): Promise<T>
}

export function resolverOn(asker: Asker): Resolver {
  const { messenger, user } = asker
  const list: Resolver['list'] = async ({ all = false, onPartial } = {}) => {
    const { runs, partial } = await readRuns(asker, all ? Infinity : 0)
    if (partial !== null) onPartial?.(partial)
    return runs
  }

  const resolve = async (text: string): Promise<Ref[]> => {
    const ref = parseRef(text)
    if (isFullId(ref.run)) return [ref]
    const recent = await readRuns(asker, RECENT)
    const isKnown = recent.partial === null || recent.runs.some(({ run }) => run.startsWith(ref.run))
    const runs = isKnown || WORDS.includes(ref.run) ? recent.runs : await list({ all: true })
    return matchRuns(ref.run, runs).map((run) => ({ ...ref, run }))
  }
  const one = async (text: string): Promise<Ref> => {
    const refs = await resolve(text)
    if (refs.length !== 1)
      throw new Fault('USAGE', `'${text}' fits ${refs.length} runs, and one is wanted here`, {
        data: { candidates: refs.map((ref) => ref.run) },
      })
    return refs[0]!
  }
  const knowing = async <T>(ref: Ref, act: () => Promise<T>): Promise<T> => {
    try {
      return await act()
    } catch (error) {
      if (!isFault(error, 'WORKER_NOT_FOUND') || error.data['reason'] === 'lost') throw error
      if (await isKnown(ref.run)) throw error
      throw notFound(ref.run, (await readRuns(asker, RECENT).catch(() => null))?.runs ?? [])
    }
  }
  const isKnown = (run: string): Promise<boolean> =>
    patiently(() => messenger.ask('coordinator.status', { user }, { run, count: 1 }), {
      boundMs: FAILOVER_MS,
    }).then(
      () => true,
      (error: unknown) => toFault(error).code !== 'WORKER_NOT_FOUND',
    )
  return { list, resolve, one, knowing }
}
