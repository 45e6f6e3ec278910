/**
 * Ops cut into entries, by the bytes that they are sent as. Order is kept. A run's op with many workers is
 * cut between workers; what cannot be cut and is larger stands alone, and the log says whether it takes it.
 */
import { encode } from '../../protocol/codec.ts'
import { ENTRY_BYTES_MAX, type StateOp } from '../../protocol/records.ts'

/** Each op in pieces that fit, with their bytes. */
function* fitting(op: StateOp, bytesMax: number): Generator<{ op: StateOp; bytes: number }> {
  const bytes = encode(op, 'msgpack').length
  if (bytes <= bytesMax || op.op !== 'run' || op.run.workers.length < 2) return yield { op, bytes }
  const half = Math.ceil(op.run.workers.length / 2)
  for (const workers of [op.run.workers.slice(0, half), op.run.workers.slice(half)])
    yield* fitting({ op: 'run', run: { ...op.run, workers } }, bytesMax)
}

/** The ops of one entry after the other. */
export function cutOps(ops: readonly StateOp[], bytesMax = ENTRY_BYTES_MAX): StateOp[][] {
  const entries: StateOp[][] = [[]]
  let sum = 0
  for (const whole of ops)
    for (const { op, bytes } of fitting(whole, bytesMax)) {
      if (sum + bytes > bytesMax && entries.at(-1)!.length > 0) {
        entries.push([])
        sum = 0
      }
      entries.at(-1)!.push(op)
      sum += bytes
    }
  return entries
}

/**
 * The next ops of a long list, about one entry of them, taken from it only now: between two slices the list
 * may change.
 */
export function nextSlice(
  ops: Iterator<StateOp, unknown>,
  bytesMax = ENTRY_BYTES_MAX,
): { ops: StateOp[]; done: boolean } {
  const slice: StateOp[] = []
  for (let bytes = 0; bytes < bytesMax / 2;) {
    const next = ops.next()
    if (next.done === true) return { ops: slice, done: true }
    slice.push(next.value)
    bytes += encode(next.value, 'msgpack').length
  }
  return { ops: slice, done: false }
}
