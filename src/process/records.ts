/**
 * The shim's record: four slots of 128 bytes, written once each, in this order: shim, child, exit, empty.
 * Owns the format on this side (shim.c and shim.py write it) and the meaning of a raw wait status.
 */
import { isOutOfDescriptors } from '../system/descriptors.ts'
import { readPlainSync } from '../system/files.ts'
import type { HostExit } from '../protocol/host.ts'
import type { ProcIdentity } from '../system/proc.ts'
import { signalName } from '../protocol/signals.ts'

const SLOT_BYTES = 128
const SLOTS = 4
export const RECORD_BYTES = SLOTS * SLOT_BYTES

/** What `prepare` writes: full size, so that a full disk cannot lose what comes later. */
export const BLANK_RECORD = `${' '.repeat(SLOT_BYTES - 1)}\n`.repeat(SLOTS)

/** How the root ended, before anybody asked why. */
export type RawExit = (
  { kind: 'status'; status: number } | { kind: 'failed'; errno: number; stage: string }
) & {
  /** wall time, ms */
  at: number
  /** the same in microseconds: decides which of two came first */
  atMicros: number
  /** its shim ended it, since the fence had run out */
  fenced?: boolean
  /** of a rank: its own shim was killed, and that of the worker saw how it ended */
  adopted?: boolean
}

export interface ForkRecord {
  shim: ProcIdentity | null
  /** rank shims only */
  rank: number | null
  /** the program, after its exec; `inCgroup`: the whole tree is in the fork's cgroup */
  child: (ProcIdentity & { at: number; inCgroup: boolean }) | null
  exit: RawExit | null
  /** wall time, ms, at which the shim had no child left */
  emptyAt: number | null
  /** of a rank: when its launcher told it to end, and the seconds after which that kills it, if it asks */
  told: { at: number; seconds: number } | null
}

const SLOT_FORMS: readonly RegExp[] = [
  /^shim [1-9]\d* \d+( \d+)?( |$)/,
  /^child [1-9]\d* \d+ \d+ [c-]( |$)/,
  /^(exit \d+ \d+|failed \d+ [a-z]+ \d+)( |$)/,
  /^(empty \d+|told \d+ \d+ \d+)( |$)/,
]

function slotsOf(text: string): string[] {
  return SLOT_FORMS.map((_, index) => text.slice(index * SLOT_BYTES, (index + 1) * SLOT_BYTES).trimEnd())
}

/** What no shim wrote in its place is not read. A later version may add words to the end of a slot. */
export function parseRecord(text: string): ForkRecord {
  const words = slotsOf(text).map((slot, index) => (SLOT_FORMS[index]!.test(slot) ? slot.split(' ') : ['']))
  const [shim, child, exit, empty] = words as [string[], string[], string[], string[]]
  return {
    shim: shim[0] === 'shim' ? { pid: Number(shim[1]), startTime: shim[2]! } : null,
    rank: shim[0] === 'shim' && shim[3] !== undefined ? Number(shim[3]) : null,
    child:
      child[0] === 'child'
        ? { pid: Number(child[1]), startTime: child[2]!, at: millis(child[3]), inCgroup: child[4] === 'c' }
        : null,
    exit: rawExitOf(exit),
    emptyAt: empty[0] === 'empty' ? millis(empty[1]) : null,
    told: empty[0] === 'told' ? { at: millis(empty[2]), seconds: Number(empty[3]) } : null,
  }
}

function rawExitOf([kind, number, second, third]: string[]): RawExit | null {
  if (kind === 'exit')
    return {
      kind: 'status',
      status: Number(number),
      at: millis(second),
      atMicros: Number(second),
      ...(third === 'fence' && { fenced: true }),
      ...(third === 'adopted' && { adopted: true }),
    }
  return kind === 'failed'
    ? { kind, errno: Number(number), stage: second!, at: millis(third), atMicros: Number(third) }
    : null
}

/**
 * Somebody else wrote there, or it is cut off. A slot that is just being written looks so for a
 * moment, too.
 */
export function isDamaged(text: string): boolean {
  return (
    text.length < RECORD_BYTES ||
    slotsOf(text).some((slot, index) => slot !== '' && !SLOT_FORMS[index]!.test(slot))
  )
}

function millis(micros: string | undefined): number {
  return Math.floor(Number(micros) / 1000)
}

/** @returns all blank when the file is not there */
export function readRecord(file: string): ForkRecord {
  return parseRecord(readRecordText(file) ?? '')
}

/** @returns null when it is not there, or no file to be read */
export function readRecordText(file: string): string | null {
  try {
    return readPlainSync(file, 'latin1', RECORD_BYTES)
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return null
  }
}

/**
 * What was read before stays known: a worker may remove the file, and its shim writes it anew with the next
 * word.
 */
export function laterRecord(was: ForkRecord, now: ForkRecord): ForkRecord {
  return {
    shim: now.shim ?? was.shim,
    rank: now.rank ?? was.rank,
    child: now.child ?? was.child,
    exit: now.exit ?? was.exit,
    emptyAt: now.emptyAt ?? was.emptyAt,
    told: now.told ?? was.told,
  }
}

/** A record as its shim wrote it before the end of its child. */
export function recordText({ shim, child }: ForkRecord): string {
  const words = [
    shim && `shim ${shim.pid} ${shim.startTime}`,
    child && `child ${child.pid} ${child.startTime} ${child.at * 1000} ${child.inCgroup ? 'c' : '-'}`,
  ]
  return Array.from({ length: SLOTS }, (_, i) => `${(words[i] ?? '').padEnd(SLOT_BYTES - 1)}\n`).join('')
}

const ENOENT = 2

/**
 * An exit as it is told. `oom` is for SIGKILL alone and comes from whoever can know.
 * @see wait(2): the low seven bits are the signal, 128 says that a core was left, the next byte is the code
 */
export function exitOf(raw: RawExit, oom: () => boolean | null): HostExit {
  if (raw.kind === 'failed')
    return {
      code: raw.errno === ENOENT && raw.stage === 'exec' ? 127 : 126,
      signal: null,
      oom: false,
      unknown: null,
    }
  const number = raw.status & 0x7f
  if (number === 0) return { code: (raw.status >> 8) & 0xff, signal: null, oom: false, unknown: null }
  const signal = signalName(number)
  return { code: null, signal, oom: signal === 'SIGKILL' ? oom() : false, unknown: null }
}

export function unknownExit(reason: string): HostExit {
  return { code: null, signal: null, oom: null, unknown: reason }
}
