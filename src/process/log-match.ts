/**
 * Looks for a line in log files that still grow: for a readiness probe, and for the word of a worker that it
 * saved. Whole lines are matched, also as they read (without colour, in the pieces between carriage returns),
 * and an unfinished one when nothing more of it came since the last look.
 */
import { basename } from 'node:path'
import { matcherOf } from '../protocol/launch/patterns.ts'
import { keeping, type Keeping } from '../system/descriptors.ts'
import { sizeOf } from '../system/files.ts'
import { piecesOf } from '../system/terminal.ts'
import { createTail } from './log-tail.ts'

/** How much of each log is looked at in one look, and at once: the agent has other things to do. */
const LOOK_STEPS = 16
const STEP_BYTES = 64 * 1024
/** A longer line is matched in pieces. */
const LINE_CHARS_MAX = 64 * 1024
/** At an end, of each log: what is before that and was not looked at is skipped. */
const END_BYTES_MAX = 64 * 1024 * 1024

export interface LogMatch {
  /** @returns the file of a line that matches; null when there is none yet */
  look(): Promise<string | null>
  /**
   * Look at all that is there now, also a last line without an end. `whole` is false when some of it could
   * not be looked at.
   */
  lookToEnd(): Promise<{ file: string | null; whole: boolean }>
  close(): void
}

export interface LogMatchInput {
  /** RE2 syntax */
  pattern: string
  /** the log files that there are now */
  files(): string[]
  /** by the file's name: what stands before this offset is not looked at */
  from?: Readonly<Record<string, number>>
  keep?: Keeping
}

/** @throws {Fault} SPEC_INVALID for a pattern that is none */
export function matchLogs({ pattern, files, from = {}, keep = keeping(1) }: LogMatchInput): LogMatch {
  const isMatch = matcherOf(pattern)
  // `^` and `$` mean what a reader sees
  const matches = (line: string): boolean => isMatch(line) || piecesOf(line).some(isMatch)
  const followed = new Map<string, FollowedLog>()
  const follow = (file: string): FollowedLog => {
    const log = followed.get(file) ?? followLog(file, from[basename(file)] ?? 0, matches, keep)
    followed.set(file, log)
    return log
  }
  return {
    async look() {
      for (const file of files()) if (await follow(file).look()) return file
      return null
    },
    async lookToEnd() {
      let isWhole = true
      for (const file of files()) {
        const { found, whole } = await follow(file).lookToEnd(sizeOf(file))
        if (found) return { file, whole }
        isWhole &&= whole
      }
      return { file: null, whole: isWhole }
    },
    close() {
      for (const log of followed.values()) log.close()
    },
  }
}

interface FollowedLog {
  look(): Promise<boolean>
  /** @param size  what is written meanwhile, beyond it, is for the next look */
  lookToEnd(size: number): Promise<{ found: boolean; whole: boolean }>
  close(): void
}

function followLog(
  file: string,
  from: number,
  matches: (line: string) => boolean,
  keep: Keeping,
): FollowedLog {
  const tail = createTail(file, { offset: from, chunkBytesMax: STEP_BYTES, keep })
  let generation = 0
  /** bytes up to here were looked at */
  let offset = from
  let rest = ''

  /** @returns whether a line matches; null when there was nothing to read */
  const step = async (): Promise<boolean | null> => {
    const chunk = await tail.read()
    if (chunk === null) return null
    if (chunk.generation !== generation) rest = ''
    generation = chunk.generation
    offset = chunk.offset + chunk.bytes.length
    // latin1 keeps every byte as it is, also half a character at the end of a chunk
    const lines = (rest + Buffer.from(chunk.bytes).toString('latin1')).split('\n')
    rest = lines.pop()!
    if (rest.length > LINE_CHARS_MAX) lines.push(rest)
    rest = rest.slice(-LINE_CHARS_MAX)
    return lines.some((line) => matches(fromLatin1(line)))
  }
  const restMatches = (): boolean => rest !== '' && matches(fromLatin1(rest))

  return {
    async look() {
      for (let steps = 0; steps < LOOK_STEPS; steps++) {
        const found = await step()
        if (found === null) return steps === 0 && restMatches()
        if (found) return true
      }
      return false
    },
    async lookToEnd(size) {
      const isSkipping = size - offset > END_BYTES_MAX
      if (isSkipping) tail.seek(size - END_BYTES_MAX)
      if (isSkipping) rest = ''
      for (let found = await step(); found !== null; found = await step()) {
        if (found) return { found, whole: true }
        if (offset >= size) break
      }
      return { found: restMatches(), whole: !isSkipping && tail.fileIs() !== 'absent' }
    },
    close: () => void tail.close(),
  }
}

function fromLatin1(text: string): string {
  return Buffer.from(text, 'latin1').toString('utf8')
}
