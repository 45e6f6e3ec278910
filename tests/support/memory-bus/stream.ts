/**
 * One JetStream stream in memory: what is stored, compare-and-set on the last sequence, `Nats-Msg-Id`,
 * limits, purges. Pure bookkeeping without a clock or links; those belong to server.ts and connection.ts.
 */
import { Fault } from '../../../src/protocol/faults.ts'
import type { AppendOptions, Headers, StreamConfig } from '../../../src/transport/bus.ts'

export interface StoredMessage {
  seq: number
  subject: string
  body: Uint8Array
  headers: Headers
  storedAt: number
}

export interface MemoryStream {
  readonly config: StreamConfig
  readonly messages: readonly StoredMessage[]
  readonly firstSeq: number
  readonly lastSeq: number
  captures(subject: string): boolean
  /** @throws {Fault} EXISTS when it differs in more than its limits */
  configure(config: StreamConfig, at: number): void
  /** @throws {Fault} EXISTS with data.reason `wrong-last-sequence` */
  append(
    subject: string,
    body: Uint8Array,
    at: number,
    options: AppendOptions,
  ): { stored: StoredMessage | null; seq: number; duplicate: boolean }
  /** up to `count` messages from `seq` on */
  from(seq: number, subject: string | undefined, count: number): StoredMessage[]
  last(subject: string): StoredMessage | null
  purge(beforeSeq: number, subject: string | undefined): void
  remove(seq: number): void
  /** its file is cut short: what is behind `seq` is lost, its numbers too */
  cutAfter(seq: number): void
}

/** Whether a subject fits a pattern with `*` and `>`. */
export function subjectFits(pattern: string, subject: string): boolean {
  if (pattern === subject) return true
  // the literal beginning decides most, without splitting anything
  const open = pattern.search(/[*>]/)
  if (open < 0 || !subject.startsWith(pattern.slice(0, open))) return false
  const wanted = pattern.split('.')
  const tokens = subject.split('.')
  for (let i = 0; i < wanted.length; i++) {
    if (wanted[i] === '>') return tokens.length > i
    if (i >= tokens.length || (wanted[i] !== '*' && wanted[i] !== tokens[i])) return false
  }
  return wanted.length === tokens.length
}

export function memoryStream(made: StreamConfig): MemoryStream {
  let config = { ...made, replicas: replicasOf(made, 1) }
  let messages: StoredMessage[] = []
  let lastSeq = 0
  let bytes = 0
  const seen = new Map<string, { seq: number; at: number }>()

  const trim = (at: number): void => {
    for (const message of messages.splice(0, deadAt(config, messages, bytes, at)))
      bytes -= message.body.length
  }

  return {
    get config() {
      return config
    },
    configure(wanted, at) {
      const next = { ...wanted, replicas: replicasOf(wanted, config.replicas) }
      const fixed = ['kind', 'storage', 'asyncPersist'] as const
      const differs = fixed.filter((key) => config[key] !== next[key])
      if (differs.length > 0) throw unchanged(config, next, differs)
      config = next
      trim(at)
    },
    get messages() {
      return messages
    },
    get firstSeq() {
      return messages[0]?.seq ?? lastSeq + 1
    },
    get lastSeq() {
      return lastSeq
    },
    captures: (subject) => config.subjects.some((pattern) => subjectFits(pattern, subject)),

    append(subject, body, at, { headers = {}, expectedLastSeq, id }) {
      const before = id === undefined ? undefined : seen.get(id)
      if (before !== undefined && at - before.at < config.duplicateWindowMs)
        return { stored: null, seq: before.seq, duplicate: true }
      if (expectedLastSeq !== undefined && expectedLastSeq !== lastSeq)
        throw new Fault('EXISTS', `wrong last sequence: ${lastSeq}`, {
          data: { reason: 'wrong-last-sequence', lastSeq },
        })
      if (config.kind === 'work-queue' && config.maxBytes > 0 && bytes + body.length > config.maxBytes)
        throw new Fault('FAILED', 'maximum bytes exceeded')
      const stored = { seq: ++lastSeq, subject, body: Uint8Array.from(body), headers, storedAt: at }
      messages.push(stored)
      bytes += body.length
      if (id !== undefined && config.duplicateWindowMs > 0) seen.set(id, { seq: lastSeq, at })
      trim(at)
      return { stored, seq: lastSeq, duplicate: false }
    },

    from(seq, subject, count) {
      const result: StoredMessage[] = []
      for (let i = lowerBound(messages, seq); i < messages.length && result.length < count; i++)
        if (subject === undefined || subjectFits(subject, messages[i]!.subject)) result.push(messages[i]!)
      return result
    },
    last: (subject) => messages.findLast((message) => subjectFits(subject, message.subject)) ?? null,
    purge(beforeSeq, subject) {
      messages = messages.filter(
        (message) =>
          message.seq >= beforeSeq || (subject !== undefined && !subjectFits(subject, message.subject)),
      )
      bytes = messages.reduce((sum, message) => sum + message.body.length, 0)
    },
    cutAfter(seq) {
      messages = messages.filter((message) => message.seq <= seq)
      lastSeq = Math.min(lastSeq, seq)
    },
    remove(seq) {
      bytes -= messages.find((message) => message.seq === seq)?.body.length ?? 0
      messages = messages.filter((message) => message.seq !== seq)
    },
  }
}

/** How many of the oldest are discarded, as the limits say. */
function deadAt(
  { kind, maxBytes, maxAgeMs, maxMessages = Infinity }: StreamConfig,
  messages: readonly StoredMessage[],
  bytes: number,
  at: number,
): number {
  let dead = 0
  for (const { body, storedAt } of kind === 'limits' ? messages : []) {
    const tooMany = messages.length - dead > maxMessages
    if (!tooMany && !(maxBytes > 0 && bytes > maxBytes) && !(maxAgeMs > 0 && storedAt + maxAgeMs < at)) break
    bytes -= body.length
    dead++
  }
  return dead
}

/** One server keeps one copy. */
function replicasOf({ name, replicas = 1 }: StreamConfig, now: number): number {
  if (replicas === now) return now
  throw new Fault('EXISTS', `the stream ${name} has ${now} replicas, asked for are ${replicas}`, {
    data: { stream: name, differs: [{ key: 'num_replicas', found: now, wanted: replicas }] },
  })
}

function unchanged(
  found: StreamConfig,
  wanted: StreamConfig,
  differs: readonly (keyof StreamConfig)[],
): Fault {
  const values = differs.map((key) => ({ key, found: found[key], wanted: wanted[key] }))
  return new Fault('EXISTS', `the stream ${found.name} cannot be changed: ${JSON.stringify(values)}`, {
    data: { stream: found.name, differs: values },
  })
}

function lowerBound(messages: readonly StoredMessage[], seq: number): number {
  let [low, high] = [0, messages.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (messages[middle]!.seq < seq) low = middle + 1
    else high = middle
  }
  return low
}
