/**
 * The durable part of a coordinator: what the STATE log says. Folding an entry is putting and dropping; a
 * snapshot is the same puts again. Ops are never changed once made, so a mirror may keep the very objects.
 */
import type {
  KeyRecord,
  RoleRecord,
  RunRecord,
  StateEntry,
  StateOp,
  WorkerRecord,
} from '../../protocol/records.ts'
import { addPart, partOps, type SpecParts } from './spec-parts.ts'

export interface DurableRun {
  head: Omit<RunRecord, 'workers'>
  /** by `role/index`; a worker that is not here waits, as the spec says */
  workers: Map<string, WorkerRecord>
}

export interface Durable {
  runs: Map<string, DurableRun>
  specs: Map<string, SpecParts>
  /** run → role → its workers */
  roles: Map<string, Map<string, RoleRecord>>
  keys: Map<string, KeyRecord>
  /** fork id → node */
  fenced: Map<string, string>
  drains: Set<string>
}

export function emptyDurable(): Durable {
  return {
    runs: new Map(),
    specs: new Map(),
    roles: new Map(),
    keys: new Map(),
    fenced: new Map(),
    drains: new Set(),
  }
}

export function workerKey(role: string, index: number): string {
  return `${role}/${index}`
}

/** Workers in one `run` op: 64 with 4 KiB of last lines each stay below the bound of an entry. */
const WORKERS_PER_OP = 64

export function foldOp(durable: Durable, op: StateOp): void {
  switch (op.op) {
    case 'run': {
      const { workers, ...head } = op.run
      const run = durable.runs.get(head.run) ?? { head, workers: new Map<string, WorkerRecord>() }
      run.head = head
      for (const worker of workers) run.workers.set(workerKey(worker.role, worker.index), worker)
      durable.runs.set(head.run, run)
      return
    }
    case 'spec':
      return void durable.specs.set(op.run, addPart(durable.specs.get(op.run), op))
    case 'role': {
      const roles = durable.roles.get(op.run) ?? new Map<string, RoleRecord>()
      return void durable.roles.set(op.run, roles.set(op.role.role, op.role))
    }
    case 'drop-run':
      durable.specs.delete(op.run)
      durable.roles.delete(op.run)
      return void durable.runs.delete(op.run)
    case 'key':
      return void durable.keys.set(op.key.key, op.key)
    case 'drop-key':
      return void durable.keys.delete(op.key)
    case 'fenced':
      return void durable.fenced.set(op.forkId, op.node)
    case 'unfenced':
      return void durable.fenced.delete(op.forkId)
    case 'drain':
      return void (op.on ? durable.drains.add(op.node) : durable.drains.delete(op.node))
    default:
      return op satisfies never
  }
}

export function foldEntries(entries: readonly StateEntry[]): Durable {
  const durable = emptyDurable()
  for (const entry of entries) for (const op of entry.ops) foldOp(durable, op)
  return durable
}

/**
 * One run as ops: its head, and the given workers in pieces. Keys come after runs, so that a key never names
 * a run that did not land.
 */
export function runOps(head: DurableRun['head'], workers: readonly WorkerRecord[]): StateOp[] {
  const ops: StateOp[] = []
  for (let from = 0; from === 0 || from < workers.length; from += WORKERS_PER_OP)
    ops.push({ op: 'run', run: { ...head, workers: workers.slice(from, from + WORKERS_PER_OP) } })
  return ops
}

/**
 * Everything that a snapshot has to say, made when it is asked for: what changes while it is written is in
 * the part behind the change. A spec without a run was never accepted.
 */
export function* opsOf(durable: Durable): Generator<StateOp> {
  for (const [id, run] of durable.runs) {
    const spec = durable.specs.get(id)
    if (spec !== undefined) yield* partOps(id, spec)
    for (const role of durable.roles.get(id)?.values() ?? []) yield { op: 'role', run: id, role }
    yield* runOps(run.head, [])
    for (const keys of chunks([...run.workers.keys()], WORKERS_PER_OP))
      yield* runOps(
        run.head,
        keys.map((key) => run.workers.get(key)!),
      )
  }
  for (const key of durable.keys.values()) yield { op: 'key', key }
  for (const [forkId, node] of durable.fenced) yield { op: 'fenced', forkId, node }
  for (const node of durable.drains) yield { op: 'drain', node, on: true }
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let from = 0; from < items.length; from += size) yield items.slice(from, from + size)
}
