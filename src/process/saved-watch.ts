/**
 * A worker's word that it saved, which it prints after its stop began. Owns from where on its output counts
 * (written down before the first signal leaves), the looks at it until the tree is gone, and the verdict,
 * which is written down before it is told. An agent that comes back within the stop goes on from there.
 */
import { readdirSync, statSync } from 'node:fs'
import { basename, join } from 'node:path'
import * as z from 'zod'
import { Saved, Wall } from '../protocol/shapes.ts'
import { LogSource } from '../protocol/table.ts'
import { keeping } from '../system/descriptors.ts'
import { readJsonSync, replaceFileSync, sizeOf } from '../system/files.ts'
import { matchLogs } from './log-match.ts'
import { fileOf } from './spool.ts'

const PAUSE_MS = [50, 400] as const
/** Every fork has them: one that is not there was removed. */
const OF_EVERY_FORK = ['stdout', 'stderr']
const keep = keeping(1 / 12)

const Saving = z.object({
  /** when the stop was asked for */
  at: Wall,
  /** the size of each log then; others came later */
  from: z.record(z.string(), z.number()),
  saved: Saved.nullable(),
})
type Saving = z.infer<typeof Saving>

export interface SavedWatch {
  /** undefined: some of its output could not be read, and it did not say so in the rest */
  readonly saved: Saved | null | undefined
  /** resolves when all that was printed so far is looked at. @param last  nothing comes after it */
  settle(last: boolean): Promise<void>
  stop(): void
}

export interface SavedWatchInput {
  forkDir: string
  logDir: string
  pattern: string
  wall: () => number
  /** null: nobody will know */
  onSaved(saved: Saved | null): void
}

/** The stop begins. What another one began before stands. */
export function beginSaving(input: SavedWatchInput): SavedWatch {
  const { forkDir, logDir, wall } = input
  const before = resumeSaving(input)
  if (before !== null) return before
  const from = Object.fromEntries(logFilesOf(logDir).map((file) => [basename(file), sizeOf(file)]))
  const saving: Saving = { at: Math.floor(wall()), from, saved: null }
  write(forkDir, saving)
  return watchSaved(saving, input)
}

/** @returns null where no stop has begun */
export function resumeSaving(input: SavedWatchInput): SavedWatch | null {
  const known = Saving.safeParse(readJsonSync(fileOf.saving(input.forkDir)))
  return known.success ? watchSaved(known.data, input) : null
}

function watchSaved(
  saving: Saving,
  { forkDir, logDir, pattern, wall, onSaved }: SavedWatchInput,
): SavedWatch {
  const files = (): string[] => [
    ...new Set([...OF_EVERY_FORK.map((source) => join(logDir, source)), ...logFilesOf(logDir)]),
  ]
  const log = matchLogs({ pattern, files, from: saving.from, keep })
  let over = saving.saved !== null
  let isUnknown = false
  let timer: NodeJS.Timeout | null = null
  let pauseMs: number = PAUSE_MS[0]
  let turn = Promise.resolve()

  const stop = (): void => {
    over = true
    if (timer !== null) clearTimeout(timer)
    log.close()
  }
  const found = (file: string): void => {
    if (over) return
    stop()
    // the agent may look late, or was not there
    const at = Math.round(Math.min(wall(), Math.max(saving.at, writtenAt(file))))
    saving.saved = { at, ms: at - saving.at }
    write(forkDir, saving)
    onSaved(saving.saved)
  }
  const look = async (): Promise<void> => {
    const file = over ? null : await log.look()
    if (file !== null) found(file)
  }
  const lookToEnd = async (last: boolean): Promise<void> => {
    if (over) return
    const { file, whole } = await log.lookToEnd().catch(() => ({ file: null, whole: false }))
    if (over) return
    if (file !== null) return found(file)
    if (!last) return
    stop()
    isUnknown = !whole
    if (isUnknown) onSaved(null)
  }
  const next = (): void => {
    if (over) return
    timer = setTimeout(() => {
      // a log that cannot be read now is read with the next look
      turn = turn.then(look).catch(() => undefined)
      void turn.then(next)
    }, pauseMs).unref()
    pauseMs = Math.min(pauseMs * 2, PAUSE_MS[1])
  }
  next()

  return {
    get saved() {
      return isUnknown ? undefined : saving.saved
    },
    settle: (last) => (turn = turn.then(() => lookToEnd(last))),
    stop,
  }
}

function write(forkDir: string, saving: Saving): void {
  try {
    replaceFileSync(fileOf.saving(forkDir), JSON.stringify(saving))
  } catch {
    // the disk is full, or the worker removed the directory: the next agent will not know
  }
}

/** Log files that there are now. */
export function logFilesOf(logDir: string): string[] {
  try {
    return readdirSync(logDir)
      .filter((name) => LogSource.safeParse(name).success)
      .map((name) => join(logDir, name))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}

function writtenAt(file: string): number {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? Infinity
}
