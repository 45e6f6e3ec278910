/**
 * Bytes of one source that did not come by themselves: from its node's spool, from the relay, and named as a
 * gap where nobody has them.
 */
import type { ForkParts } from '../../protocol/names.ts'
import type { Messenger } from '../../transport/messenger.ts'
import type { LogItem } from './items.ts'
import type { Output } from './output.ts'
import { logSubject, relayed, type Spool, type SpoolRead } from './remote-spool.ts'

export interface Filling {
  readonly messenger: Messenger
  readonly spool: Spool
  readonly fork: ForkParts
  readonly source: string
  readonly out: Output
  /** the relay's first message that may not have been given out */
  relaySeq: number
}

const READ_BYTES = 256 * 1024
/** Reads of one source that are under way at the same time. */
const READS_AHEAD = 4
/**
 * So much is read from the relay, as far as that has it: the node has other things to do, and is asked for
 * the rest.
 */
export const BACKLOG_BYTES = 1024 * 1024

/**
 * Give out everything up to `to` of a generation, from wherever it can be got.
 *
 * @param patient  a node that does not answer now is asked again later: no gap is named for that
 * @returns false when the rest has to be asked for again
 */
export async function* fill(
  filling: Filling,
  to: number,
  of: number,
  patient: boolean,
): AsyncGenerator<LogItem, boolean> {
  const { out } = filling
  if (of < out.generation) return true
  if (of > out.generation) yield* out.restart(of)
  out.next ??= to
  for (let relayHasMore = to - out.next >= BACKLOG_BYTES; out.next < to;) {
    // who follows takes what was added since, too
    const hole = relayHasMore ? yield* replay(filling, patient ? Infinity : to) : Infinity
    relayHasMore = hole < to
    if (!(yield* readSpool(filling, Math.min(hole, to), patient))) return false
  }
  return true
}

/** From the relay: what it has of [next, to); the holes between are named. */
export async function* fillFromRelay(
  { messenger, fork, source, out }: Filling,
  to: number,
  why: string,
): AsyncGenerator<LogItem> {
  try {
    for await (const message of relayed(messenger, logSubject(messenger.fleet, { ...fork, source }))) {
      if (
        message.offset === null ||
        message.generation !== out.generation ||
        message.offset + message.bytes.length <= out.next!
      )
        continue
      if (message.offset >= to) break
      if (message.offset > out.next!) yield* out.gap(message.offset, why)
      yield* out.emit(
        out.next!,
        message.bytes.subarray(
          out.next! - message.offset,
          Math.min(message.bytes.length, to - message.offset),
        ),
      )
      if (out.next! >= to) return
    }
  } catch {
    // no relay either: the gap says so
  }
  if (out.next! < to) yield* out.gap(to, why)
}

/**
 * As far as the relay goes on without a hole from `next`.
 *
 * @returns where the hole ends that its node has to fill; Infinity where the relay has nothing more
 */
async function* replay(filling: Filling, to: number): AsyncGenerator<LogItem, number> {
  const { messenger, fork, source, out } = filling
  try {
    for await (const message of relayed(
      messenger,
      logSubject(messenger.fleet, { ...fork, source }),
      filling.relaySeq,
    )) {
      const { offset, bytes } = message
      if (offset !== null && message.generation === out.generation && offset + bytes.length > out.next!) {
        if (offset > out.next!) return offset
        yield* out.emit(out.next!, bytes.subarray(out.next! - offset, to - offset))
        if (out.next! >= to) break
      }
      filling.relaySeq = message.seq! + 1
    }
  } catch {
    // no relay: its node has it all
  }
  return Infinity
}

async function* readSpool(filling: Filling, to: number, patient: boolean): AsyncGenerator<LogItem, boolean> {
  const { spool, fork, source, out } = filling
  const ahead: { from: number; read: Promise<SpoolRead> }[] = []
  let asked = out.next!
  while (out.next! < to) {
    for (; ahead.length < READS_AHEAD && asked < to; asked = Math.min(to, asked + READ_BYTES)) {
      const read = spool.read(fork, source, { offset: asked, bytesMax: Math.min(READ_BYTES, to - asked) })
      read.catch(() => undefined) // it is thrown where it is awaited, which may be never
      ahead.push({ from: asked, read })
    }
    const { from, read } = ahead.shift()!
    const got = await read
    if (got.what === 'bytes' && got.generation === out.generation && got.bytes.length > 0)
      yield* out.emit(from, got.bytes)
    else if (got.what === 'gone' && got.floor > out.next!)
      yield* fillFromRelay(filling, Math.min(got.floor, to), 'no longer kept')
    else if (got.what === 'silent' && patient) return false
    else
      yield* fillFromRelay(
        filling,
        to,
        got.what === 'bytes' ? 'the program truncated its file' : 'its node does not answer',
      )
    // what was asked for ahead is no longer what comes next
    if ((ahead[0]?.from ?? asked) !== out.next) {
      ahead.length = 0
      asked = out.next!
    }
  }
  return true
}
