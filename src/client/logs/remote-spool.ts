/**
 * Reading a fork's logs from the node that has them (`worker.log`) and, where that node does not answer, from
 * the relay (the LOG stream). Owns the requests; which bytes are wanted next is source.ts'.
 */
import { isFault, toFault } from '../../protocol/faults.ts'
import { readLogHeaders, sourceOfToken, sourceToken, type LogHeaders } from '../../protocol/log-records.ts'
import { parseForkId, type ForkParts } from '../../protocol/names.ts'
import { parseSubject, rootOf } from '../../protocol/subjects.ts'
import { streamOf } from '../../protocol/table.ts'
import type { Message } from '../../transport/bus.ts'
import type { Messenger } from '../../transport/messenger.ts'
import { FAILOVER_MS, isUnserved, patiently } from '../timing.ts'

export interface SpoolSizes {
  /**
   * `shipped`: how far the relay surely has, or had, it; `lost`: [n, n] is all from n on, of unknown length
   */
  sources: Record<
    string,
    { size: number; floor: number; generation: number; shipped?: number; lost?: [number, number][] }
  >
  /** nothing is added any more */
  final: boolean
}
/** `gone`: these bytes are not kept, `floor` is the first that is. `silent`: the node does not answer. */
export type SpoolRead =
  | { what: 'bytes'; offset: number; bytes: Uint8Array; generation: number }
  | { what: 'gone'; floor: number }
  | { what: 'silent' }

export interface Spool {
  /** null: no node answers for this fork */
  sizes(fork: ForkParts): Promise<SpoolSizes | null>
  read(
    fork: ForkParts,
    source: string,
    from: { offset: number; bytesMax: number } | { tailLines: number },
  ): Promise<SpoolRead>
  /** did its node not answer the last time? */
  isSilent(fork: ForkParts): boolean
}

const READ_BYTES_MAX = 256 * 1024
/**
 * A node that did not answer in time is not asked again for this long: a reader of sixty-four workers must
 * not wait a second for each.
 */
const MUTED_MS = 1500
const ASK_MS = 2500

function workerOf({ run, role, index }: ForkParts): string {
  return `${run}/${role}/${index}`
}

export function spoolOf(messenger: Messenger, signal?: AbortSignal): Spool {
  const silent = new Set<string>()
  const mutedUntil = new Map<string, number>()
  const ask = async (
    fork: ForkParts,
    body: { source?: string; offset?: number; bytesMax?: number; tailLines?: number },
  ) => {
    const { run, role, index, attempt } = fork
    const worker = workerOf(fork)
    if (performance.now() < (mutedUntil.get(worker) ?? 0)) return null
    try {
      // asked for the attempt by name: the agent of a later one must not answer for this
      const answer = await patiently(
        () => messenger.ask('worker.log', { run, role, index }, { attempt, ...body }),
        {
          boundMs: messenger.bus.connected ? ASK_MS : FAILOVER_MS,
          retry: (fault) => fault.retryable && !isUnserved(fault),
          signal,
        },
      )
      silent.delete(worker)
      return answer
    } catch (error) {
      if (!isFault(error) || !['CONN', 'TIMEOUT'].includes(error.code)) throw error
      silent.add(worker)
      // "nobody serves it" costs nothing; an answer that does not come costs a second
      if (error.code === 'TIMEOUT') mutedUntil.set(worker, performance.now() + MUTED_MS)
      return null
    }
  }
  return {
    isSilent: (fork) => silent.has(workerOf(fork)),
    async sizes(fork) {
      const answer = await ask(fork, {})
      return answer && { sources: answer.sources, final: answer.final }
    },
    async read(fork, source, from) {
      try {
        const answer = await ask(
          fork,
          'tailLines' in from
            ? { source, tailLines: from.tailLines }
            : { source, offset: from.offset, bytesMax: Math.min(READ_BYTES_MAX, from.bytesMax) },
        )
        if (answer === null) return { what: 'silent' }
        return {
          what: 'bytes',
          offset: answer.offset,
          bytes: answer.bytes,
          generation: answer.sources[source]?.generation ?? 0,
        }
      } catch (error) {
        const fault = toFault(error)
        if (fault.code === 'GONE') return { what: 'gone', floor: Number(fault.data['floor'] ?? 0) }
        if (fault.code === 'WORKER_NOT_FOUND') return { what: 'silent' }
        throw fault
      }
    },
  }
}

/** A message on a log subject, read: a chunk (offset not null) or a record. */
export interface LogMessage extends LogHeaders {
  fork: ForkParts
  source: string
  bytes: Uint8Array
  seq: number | undefined
}

/** @returns null when the message is none, or speaks for another fork than its subject says */
export function readLogMessage(fleet: string, message: Message): LogMessage | null {
  const place = parseSubject(fleet, 'log', message.subject)
  const headers = readLogHeaders(message.headers)
  const fork = headers && parseForkId(headers.forkId)
  if (place === null || !headers || !fork) return null
  if (
    fork.run !== place.run ||
    fork.role !== place.role ||
    String(fork.index) !== place.index ||
    String(fork.attempt) !== place.attempt
  )
    return null
  return { ...headers, fork, source: sourceOfToken(place.source), bytes: message.body, seq: message.seq }
}

export function logSubject(
  fleet: string,
  at: { run: string; role?: string; index?: number; attempt?: number; source?: string },
): string {
  return `${rootOf(fleet)}.log.${at.run}.${at.role ?? '*'}.${at.index ?? '*'}.${at.attempt ?? '*'}.${at.source === undefined ? '*' : sourceToken(at.source)}.*`
}

/** Chunks may have 256 KiB: this many are asked for at once. */
const BATCH = 32

/**
 * The relay's messages of a subject in the order in which they were stored. @throws {Fault} when it cannot be
 * read
 */
export async function* relayed(
  { bus, fleet }: Messenger,
  subject: string,
  fromSeq = 1,
): AsyncGenerator<LogMessage> {
  for (let seq = fromSeq; ;) {
    const batch = await patiently(
      () => bus.getMessages(streamOf(fleet, 'LOG'), { seq, subject, count: BATCH }),
      { boundMs: ASK_MS, retry: ['TIMEOUT'] },
    )
    if (batch.length === 0) return
    for (const message of batch) {
      seq = message.seq + 1
      const log = readLogMessage(fleet, message)
      if (log !== null) yield log
    }
  }
}

/**
 * The first message that was stored at or after a time, by halving: Direct Get asks by number alone.
 *
 * @returns its number; `complete` is false when the relay has nothing as old as that
 */
export async function relaySeqSince(
  { bus, fleet }: Messenger,
  since: number,
): Promise<{ seq: number; complete: boolean }> {
  const stream = streamOf(fleet, 'LOG')
  const first = await bus.getMessage(stream, { seq: 1 })
  const last = first && (await bus.getLast(stream, `${rootOf(fleet)}.log.>`))
  if (first === null || last === null || (first.storedAt ?? 0) >= since)
    return { seq: 1, complete: first === null || first.seq === 1 }
  let low = first.seq
  let high = last.seq + 1
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2)
    const message = await bus.getMessage(stream, { seq: middle })
    if (message === null || (message.storedAt ?? 0) >= since) high = middle
    else low = middle
  }
  return { seq: high, complete: true }
}
