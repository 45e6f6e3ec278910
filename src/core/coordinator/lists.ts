/**
 * The lists that people ask the coordinator for, in pages: runs, nodes, the placements of a plan. Reading
 * never writes. The meaning of each list's cursor stands here, the bounds of a page in protocol/pages.ts.
 */
import { isName } from '../../protocol/names.ts'
import { fillPage, noCursor, type PageQuery } from '../../protocol/pages.ts'
import { isTerminal } from '../../protocol/shapes.ts'
import type { ReplyOf } from '../../protocol/table.ts'
import { resolveAndCheck } from './accept.ts'
import type { RequestOf } from './messages.ts'
import { placesOf } from './node-usage.ts'
import { place } from './placement.ts'
import { nodeInfo, summaryOf } from './status.ts'
import type { Ctx, NodeLive, Run } from './types.ts'

/** `ACCEPTED_AT/RUN`: a run in memory. `ended/SEQ`: at or before this message of the archive's stream. */
const RUN_CURSOR = /^(\d{1,16})\/([^/]+)$/
const ARCHIVE_CURSOR = /^ended\/(\d{1,16})$/
export function archiveCursor(seq: number): string {
  return `ended/${seq}`
}

/** Runs in memory, newest first; `all` goes on in the archive, which its performer reads. */
export function list(ctx: Ctx, request: RequestOf<'list'>): void {
  const { from, count, all = false } = request.body
  const archived = all ? ARCHIVE_CURSOR.exec(from ?? '') : null
  const inMemory = [...ctx.s.runs.values()]
    .filter((run) => all || !isTerminal(run.record.state))
    .toSorted(newestFirst)
  const { items: runs, next } =
    archived === null
      ? fillPage(inMemory.slice(startOf(inMemory, from)), (run) => summaryOf(ctx, run), { count })
      : { items: [], next: null }
  if (next !== null || !all)
    return void ctx.out.push({
      kind: 'reply',
      request: request.id,
      body: { runs, partial: null, next: next === null ? null : cursorOf(next) },
    })
  ctx.out.push({
    kind: 'reply-from-archive',
    verb: 'list',
    request: request.id,
    runs,
    count,
    before: archived === null ? null : Number(archived[1]),
    // these have an end, and may be archived already
    inMemory: inMemory.filter((run) => isTerminal(run.record.state)).map((run) => run.record.run),
  })
}

function newestFirst({ record: a }: Run, { record: b }: Run): number {
  return b.acceptedAt - a.acceptedAt || (a.run < b.run ? -1 : 1)
}
function cursorOf({ record }: Run): string {
  return `${record.acceptedAt}/${record.run}`
}
function startOf(runs: readonly Run[], from: string | undefined): number {
  if (from === undefined) return 0
  const [, at, run] = RUN_CURSOR.exec(from) ?? []
  if (run === undefined || !isName(run)) throw noCursor(from, 'the list of runs')
  const start = runs.findIndex(
    ({ record }) => record.acceptedAt < Number(at) || (record.acceptedAt === Number(at) && record.run >= run),
  )
  return start < 0 ? runs.length : start
}

export function nodesPage(ctx: Ctx, { from, count }: PageQuery): ReplyOf<'coordinator.nodes'> {
  if (from !== undefined && !isName(from)) throw noCursor(from, 'the list of nodes')
  const nodes = [...ctx.s.nodes.values()]
    .filter((node) => isKnown(node) && node.name >= (from ?? ''))
    .toSorted((a, b) => (a.name < b.name ? -1 : 1))
  const { items, next } = fillPage(nodes, (node) => nodeInfo(ctx, node), { count })
  return { nodes: items, next: next?.name ?? null }
}

/** Heard of, or needed by a run. */
export function isKnown(node: NodeLive): boolean {
  return node.incarnation !== null || node.workers.size > 0
}

/** Each page is planned anew: it says what would be done now. */
export function planPage(
  ctx: Ctx,
  { document, from, count }: RequestOf<'plan'>['body'],
): ReplyOf<'coordinator.plan'> {
  const launch = resolveAndCheck(ctx, document)
  const asks = launch.roles.flatMap((role) =>
    Array.from({ length: role.replicas }, (_, index) => ({ role, index })),
  )
  const handleOf = ({ role, index }: (typeof asks)[number]): string => `${role.name}/${index}`
  const start = from === undefined ? 0 : asks.findIndex((ask) => handleOf(ask) === from)
  if (start < 0) throw noCursor(from!, 'the workers of this document')
  const placed = place(asks, placesOf(ctx))
  const left = new Set('reason' in placed ? asks : placed.left)
  let taken = 0
  const placements = asks.map((ask) => ({
    worker: handleOf(ask),
    node: 'reason' in placed || left.has(ask) ? null : placed.places[taken++]!,
  }))
  const { items, next } = fillPage(placements.slice(start), (placement) => placement, { count })
  return {
    launch: from === undefined ? launch : null,
    plan: from === undefined && 'reason' in placed ? [placed.reason] : [],
    placements: items,
    next: next?.worker ?? null,
  }
}
