/**
 * What the state log cannot hold: a launch that it does not take is undone, as if it had been refused at
 * once; and history that it lost is said to people who look for it.
 */
import type { FaultBody } from '../../protocol/faults.ts'
import { runIdOf } from '../../protocol/launch/document.ts'
import { keyIdOf } from './accept.ts'
import { rejectedEvent } from './events.ts'
import { vacate } from './node-usage.ts'
import type { Ctx, Run } from './types.ts'

/**
 * A run that was accepted, and whose record the log will never take. Nothing of it left: what stood behind
 * its record was held back. Its key keeps the refusal, so whoever asks again is told the same.
 */
export function onUnwritable(ctx: Ctx, id: string, fault: FaultBody): void {
  const run = ctx.s.runs.get(id)
  if (run === undefined) return
  forget(ctx, run)
  const { key, user, name } = run.record
  const keyId = keyIdOf(user, key)
  // parts of it may have been taken
  ctx.ops.push({ op: 'drop-run', run: id })
  const before = ctx.s.keys.get(keyId)
  const record = { key: keyId, hash: before?.hash ?? '', run: null, fault: { ...fault }, at: ctx.wall }
  ctx.s.keys.set(keyId, record)
  ctx.lateOps.push({ op: 'key', key: record })
  rejectedEvent(ctx, { name, user, key, fault, id: runIdOf('rejected', keyId) })
}

function forget(ctx: Ctx, run: Run): void {
  const { s } = ctx
  s.runs.delete(run.record.run)
  s.queue.leave(run)
  for (const set of [s.dirty, s.lazy, s.rest]) set.delete(run)
  const workers = new Set(run.workers)
  for (const worker of run.workers)
    if (worker.record.node !== null) vacate(ctx, s.nodes.get(worker.record.node), worker)
  for (const [id, order] of s.orders)
    if ('workers' in order && order.workers.some((worker) => workers.has(worker))) s.orders.delete(id)
  s.placeDue = true
}

/** Said once by each leader; `status` of a run that is not there says it again. */
export function onHistoryLost(ctx: Ctx, text: string): void {
  if (ctx.s.historyLost !== null) return
  ctx.s.historyLost = text
  ctx.out.push({ kind: 'log', level: 'error', fields: { msg: 'the state log lost history', text } })
}
