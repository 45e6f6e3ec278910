/**
 * Pages joined: whole lists for callers of the library. Asks for one page after the other; a page that does
 * not come is asked for again, as any request.
 */
import { Fault } from '../protocol/faults.ts'
import { isTerminal, type RunStatus, type Target } from '../protocol/shapes.ts'
import { type RunSummary } from '../protocol/run-summary.ts'
import type { NodeInfo } from '../protocol/node-info.ts'
import type { ReplyOf } from '../protocol/table.ts'
import type { Messenger } from '../transport/messenger.ts'
import { FAILOVER_MS, patiently, type Patience } from './timing.ts'

/** How a page is asked for: by default as long as a coordinator is replaced. */
export type Asking = Partial<Patience>

export interface Asker {
  messenger: Messenger
  user: string
}

/** All pages from the first. @param isEnough  reading ends early once this is true */
async function readPages<P extends { next: string | null }>(
  ask: (from: { from?: string }) => Promise<P>,
  asking: Asking,
  isEnough: (pages: readonly P[]) => boolean = () => false,
): Promise<[P, ...P[]]> {
  const patience = { boundMs: FAILOVER_MS, ...asking }
  const pages: [P, ...P[]] = [await patiently(() => ask({}), patience)]
  for (let { next } = pages[0]; next !== null && !isEnough(pages);) {
    const from: string = next
    const page = await patiently(() => ask({ from }), patience)
    if (page.next === from) throw new Fault('FAILED', `the page from '${from}' names itself as the next`)
    pages.push(page)
    next = page.next
  }
  return pages
}

/**
 * The status of a run, with the workers of the target. The head is the last page's, and belongs to the
 * workers: a run that ended between two pages is read once more.
 */
export async function readStatus(
  { messenger, user }: Asker,
  target: Target,
  asking: Asking = {},
): Promise<RunStatus> {
  for (;;) {
    const pages = await readPages(
      (from) => messenger.ask('coordinator.status', { user }, { ...target, ...from }),
      asking,
    )
    const { next: _next, ...head } = pages.at(-1)!
    if (isTerminal(head.state) && !isTerminal(pages[0].state)) continue
    return {
      ...head,
      stragglers: pages.flatMap((page) => page.stragglers),
      workers: pages.flatMap((page) => page.workers),
    }
  }
}

/** The first page of a status: the head of the run, and as many workers as fit. */
export async function readHead(
  { messenger, user }: Asker,
  target: Target,
  asking: Asking = {},
): Promise<ReplyOf<'coordinator.status'>> {
  return patiently(() => messenger.ask('coordinator.status', { user }, target), {
    boundMs: FAILOVER_MS,
    ...asking,
  })
}

export interface RunList {
  runs: RunSummary[]
  /** why runs are missing; null when these are all */
  partial: string | null
}

/** Live runs, newest first, and at least the `ended` that ended last, where there are so many. */
export async function readRuns(
  { messenger, user }: Asker,
  ended: number,
  asking: Asking = {},
): Promise<RunList> {
  const pages = await readPages(
    (from) => messenger.ask('coordinator.list', { user }, { ...(ended > 0 && { all: true }), ...from }),
    asking,
    (read) =>
      ended > 0 &&
      read.reduce((sum, page) => sum + page.runs.filter((run) => isTerminal(run.state)).length, 0) >= ended,
  )
  // a run that was archived between two pages is on both: the later one knows more
  const runs = new Map(pages.flatMap((page) => page.runs).map((run) => [run.run, run]))
  const more = pages.at(-1)!.next === null ? null : `more than these ${runs.size} are kept`
  return {
    runs: [...runs.values()].toSorted((a, b) => b.acceptedAt - a.acceptedAt),
    partial: pages.find((page) => page.partial !== null)?.partial ?? more,
  }
}

export async function readNodes({ messenger, user }: Asker, asking: Asking = {}): Promise<NodeInfo[]> {
  const pages = await readPages((from) => messenger.ask('coordinator.nodes', { user }, from), asking)
  return pages.flatMap((page) => page.nodes)
}

export type Planned = Omit<ReplyOf<'coordinator.plan'>, 'launch' | 'next'> & {
  launch: NonNullable<ReplyOf<'coordinator.plan'>['launch']>
}

export async function readPlan(
  { messenger, user }: Asker,
  document: Record<string, unknown>,
): Promise<Planned> {
  const pages = await readPages(
    (from) => messenger.ask('coordinator.plan', { user }, { document, ...from }),
    {},
  )
  const { launch, plan } = pages[0]
  if (launch === null) throw new Fault('REQUEST_INVALID', 'the first page of the plan has no launch')
  return { launch, plan, placements: pages.flatMap((page) => page.placements) }
}
