/**
 * What people type to name runs, roles, workers and ranks: `RUN`, `RUN/role`, `RUN/role/3`, `RUN/role/1-3,5`,
 * `RUN/role:11`. match-runs.ts says which run RUN stands for.
 */
import { Fault } from '../protocol/faults.ts'
import type { Target } from '../protocol/shapes.ts'

export interface Ref {
  run: string
  role?: string
  /** of workers, by index */
  indices?: number[]
  /** global ranks of a torchrun role */
  ranks?: number[]
}

const WORD = '[A-Za-z0-9][A-Za-z0-9_-]{0,39}'
const LIST = '\\d{1,9}(?:-\\d{1,9})?(?:,\\d{1,9}(?:-\\d{1,9})?)*'
const REF = new RegExp(`^(${WORD})(?:/(${WORD})(?:/(${LIST})|:(${LIST}))?)?$`)
const LIST_MAX = 100_000

/** @throws {Fault} USAGE */
export function parseRef(text: string): Ref {
  const match = REF.exec(text)
  if (match === null)
    throw new Fault('USAGE', `'${text}' names no run, role, worker or rank`, {
      hint: 'write RUN, RUN/role, RUN/role/3, RUN/role/1-3,5 or RUN/role:11; RUN is a name, an id or its prefix, last or all',
    })
  return {
    run: match[1]!,
    ...(match[2] !== undefined && { role: match[2] }),
    ...(match[3] !== undefined && { indices: numbersOf(match[3], text) }),
    ...(match[4] !== undefined && { ranks: numbersOf(match[4], text) }),
  }
}

/** `1-3,5` as 1, 2, 3, 5. */
function numbersOf(list: string, text: string): number[] {
  const numbers = new Set<number>()
  for (const part of list.split(',')) {
    const [from, to = from] = part.split('-').map(Number)
    if (to! < from! || to! - from! > LIST_MAX) throw new Fault('USAGE', `'${part}' in '${text}' is no range`)
    for (let n = from!; n <= to!; n++) numbers.add(n)
  }
  return [...numbers].toSorted((a, b) => a - b)
}

export function refText(ref: Ref): string {
  const { run, role, indices, ranks } = ref
  const where = [
    run,
    ...(role === undefined ? [] : [role]),
    ...(indices === undefined ? [] : [indices.join(',')]),
  ]
  return `${where.join('/')}${ranks === undefined ? '' : `:${ranks.join(',')}`}`
}

/** What orders are aimed at. @throws {Fault} USAGE for ranks: they end with their worker */
export function targetsOf(ref: Ref): Target[] {
  if (ref.ranks !== undefined)
    throw new Fault('USAGE', `'${refText(ref)}' is a rank: it ends with its worker`, {
      hint: `stop the worker (RUN/role/INDEX), or signal the rank: troupe signal ${refText(ref)} TERM --force`,
    })
  if (ref.indices !== undefined) return ref.indices.map((index) => ({ run: ref.run, role: ref.role!, index }))
  return [{ run: ref.run, ...(ref.role !== undefined && { role: ref.role }) }]
}

/** Does a worker (or what is said of one) belong to the ref? Ranks are their worker's. */
export function refFits(ref: Ref, worker: { role: string; index: number }): boolean {
  return (
    (ref.role === undefined || ref.role === worker.role) &&
    (ref.indices === undefined || ref.indices.includes(worker.index))
  )
}
