/**
 * What a reader of logs is given, and which sources it asked for. Owns names of sources (`stdout`,
 * `r3-stderr`, `r3.1-stderr` after one of torch's own restarts) and the prefix of a line.
 */
import type { Ref } from '../refs.ts'

interface Origin {
  forkId: string
  /** `RUN/ROLE/INDEX` */
  worker: string
  role: string
  index: number
  attempt: number
  /** global rank of a torchrun role; null for a worker's own output */
  rank: number | null
  source: string
  stream: 'stdout' | 'stderr'
  /** where it begins in the file, bytes; starts again at 0 when the program truncated its file */
  offset: number
}
/** One line, without its newline. */
export interface LogLine extends Origin {
  kind: 'line'
  /** `[trainer/3]` or `[trainer:11]` */
  prefix: string
  /** UTF-8; what is none shows as U+FFFD */
  text: string
  /** the same, as it stands in the file */
  bytes: Uint8Array
}
/** Bytes of the file as they are (`raw`). */
export interface LogChunk extends Origin {
  kind: 'chunk'
  bytes: Uint8Array
}
/** Bytes that nobody has any more, or that cannot be got now. */
export interface LogGap extends Origin {
  kind: 'gap'
  prefix: string
  /** first byte after the gap; null when that is not known */
  to: number | null
  why: string
}
export type LogItem = LogLine | LogChunk | LogGap

export interface LogOptions {
  /** go on until the log is complete; waits for a run that has not started */
  follow?: boolean
  /**
   * chunks of the file's bytes instead of lines; exactly one source: a worker's own, or with a rank that
   * rank's
   */
  raw?: boolean
  /** chunks like `raw`, of all sources */
  chunks?: boolean
  stream?: 'stdout' | 'stderr'
  /** of a torchrun role, global */
  rank?: number
  /** one source by name */
  source?: string
  /** from about this time on, Unix ms: to the chunk, some 50 ms */
  since?: number
  /** the last lines of each source */
  tail?: number
  /** default: the latest, and with `follow` those after it */
  attempt?: number
  /** lines that contain a match; RE2 syntax */
  grep?: string
  signal?: AbortSignal
  /** why nothing comes now */
  onTrouble?(text: string): void
}

export interface SourceName {
  stream: 'stdout' | 'stderr'
  rank: number | null
  /** torch's own restart */
  restart: number
}

/** @returns null when it is no source's name */
export function parseSource(source: string): SourceName | null {
  const match = /^(?:r(\d{1,6})(?:\.(\d{1,4}))?-)?(stdout|stderr)$/.exec(source)
  return (
    match && {
      stream: match[3] as 'stdout' | 'stderr',
      rank: match[1] === undefined ? null : Number(match[1]),
      restart: Number(match[2] ?? 0),
    }
  )
}

/** A worker's own before its ranks', by rank; stdout before stderr. */
export function bySource(a: string, b: string): number {
  const [x, y] = [parseSource(a), parseSource(b)]
  if (x === null || y === null) return 0
  return (
    (x.rank ?? -1) - (y.rank ?? -1) ||
    x.restart - y.restart ||
    (x.stream === y.stream ? 0 : x.stream === 'stdout' ? -1 : 1)
  )
}

/** Is a source among what was asked for? */
export function sourceFits(source: string, ref: Ref, options: LogOptions): boolean {
  const name = parseSource(source)
  if (name === null || (options.source !== undefined && options.source !== source)) return false
  if (options.stream !== undefined && options.stream !== name.stream) return false
  const ranks = options.rank === undefined ? ref.ranks : [options.rank]
  if (ranks !== undefined) return name.rank !== null && ranks.includes(name.rank)
  return options.raw !== true || options.source !== undefined || name.rank === null
}

export function prefixOf(role: string, index: number, rank: number | null): string {
  return rank === null ? `[${role}/${index}]` : `[${role}:${rank}]`
}
