/**
 * Processes that ran on when the root of their fork had ended, and which of them we ended. Owns how that is
 * told from an end of their own: by what a signal does to a process when it is sent, and by whether it is
 * there a second later. Written to left.json before a signal leaves: the next agent knows them, too.
 */
import * as z from 'zod'
import { LEFT_SHOWN_MAX, type Left } from '../protocol/receipts.ts'
import { signalNumber } from '../protocol/signals.ts'
import { readJsonSync, replaceFileSync } from '../system/files.ts'
import { describe, isAlive, waitsForSignal, type ProcStat } from '../system/proc.ts'
import { signalEffect } from './signal-processes.ts'

/** A handler that lets its process run on for longer did not end it. */
const HANDLED_MS = 1000
/** Of more the number is told. */
const TRACKED_MAX = 200
const COMMAND_CHARS_MAX = 120

const Entry = z.object({
  pid: z.number().int(),
  startTime: z.string(),
  command: z.string(),
  /** the latest that it got */
  signal: z.string(),
  at: z.number(),
  effect: z.enum(['ends', 'handled', 'none']),
})
const Known = z.object({ entries: z.array(Entry), untracked: z.number().int() })
type Known = z.infer<typeof Known>

export interface LeftBehind {
  /** they are there after the root's end, and are about to get this signal */
  signalled(signal: string, members: readonly ProcStat[]): void
  /** now and then: who handled a signal and is there all the same ends by itself */
  look(): void
  /** nothing more is there; undefined: there was nobody whom we ended */
  ended(): Left | undefined
}

export function leftBehind(file: string, wall: () => number): LeftBehind {
  let known: Known | null = null
  const load = (): Known =>
    (known ??= Known.safeParse(readJsonSync(file)).data ?? { entries: [], untracked: 0 })
  const keep = (): void => {
    try {
      replaceFileSync(file, JSON.stringify(known))
    } catch {
      // the disk is full, or the worker removed the directory: the next agent will not know
    }
  }
  return {
    signalled(signal, members) {
      if (members.length === 0) return
      const { entries } = load()
      const byIdentity = new Map(entries.map((entry) => [identityOf(entry), entry]))
      for (const stat of members) {
        const latest = { signal, at: wall(), effect: effectOf(stat.pid, signal) }
        const entry = byIdentity.get(identityOf(stat))
        if (entry !== undefined) Object.assign(entry, latest)
        else if (entries.length < TRACKED_MAX)
          entries.push({ pid: stat.pid, startTime: stat.startTime, command: cut(describe(stat)), ...latest })
      }
      known!.untracked = Math.max(known!.untracked, members.length - TRACKED_MAX)
      keep()
    },
    look() {
      let isNew = false
      for (const entry of load().entries)
        if (entry.effect === 'handled' && wall() - entry.at >= HANDLED_MS && isAlive(entry)) {
          entry.effect = 'none'
          isNew = true
        }
      if (isNew) keep()
    },
    ended() {
      const { entries, untracked } = load()
      const ours = entries.filter((entry) => entry.effect !== 'none' && !isAlive(entry))
      if (ours.length === 0) return undefined
      const processes = ours.slice(0, LEFT_SHOWN_MAX).map(({ pid, command, signal, effect }) => ({
        ...{ pid, command, signal },
        ...(effect === 'handled' && { handled: true as const }),
      }))
      return { processes, more: ours.length - processes.length + untracked }
    },
  }
}

function effectOf(pid: number, signal: string): z.infer<typeof Entry>['effect'] {
  const effect = signalEffect(pid, signalNumber(signal) ?? 0)
  // the kernel unblocks what a process waits for
  return effect === 'ends' && signal !== 'SIGKILL' && waitsForSignal(pid) ? 'handled' : effect
}

function identityOf({ pid, startTime }: { pid: number; startTime: string }): string {
  return `${pid} ${startTime}`
}

function cut(command: string): string {
  return command.length > COMMAND_CHARS_MAX ? `${command.slice(0, COMMAND_CHARS_MAX - 1)}…` : command
}
