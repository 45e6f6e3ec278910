/**
 * One signal to some processes of a fork, named by their place in it. Owns who they are, and whether the
 * signal would end them: it has no handler there, is not ignored or blocked, and ends a process by default.
 */
import type { SignalResult } from '../protocol/host.ts'
import type { SentSignal } from '../protocol/shapes.ts'
import { signalNumber } from '../protocol/signals.ts'
import { describe, isAlive, isDead, readSignalSets, readStat, type ProcIdentity } from '../system/proc.ts'
import type { Observer } from './observer.ts'
import { membersOf } from './tree.ts'

/** Numbers that end nobody by default: CHLD, CONT, STOP, TSTP, TTIN, TTOU, URG, WINCH. */
const HARMLESS: ReadonlySet<number> = new Set([17, 18, 19, 20, 21, 22, 23, 28])
/** Nobody can have a handler for it, and it has no other meaning. */
const SIGKILL = 9
const NAMED_MAX = 3

/** @param force  also to those that it would end; else, when there is one, to nobody */
export function signalProcesses(
  observer: Observer | null | undefined,
  signal: string,
  to: SentSignal['to'],
  force: boolean,
): SignalResult {
  const number = signalNumber(signal)
  if (observer == null || number === null) return { reached: 0, fatal: [] }
  const targets = targetsOf(observer, to).filter(isAlive)
  const fatal = force ? [] : targets.filter(({ pid }) => wouldEnd(pid, number))
  if (fatal.length > 0) return { reached: 0, fatal: named(fatal) }
  return { reached: targets.filter(({ pid }) => reaches(pid, number)).length, fatal: [] }
}

/** One that has ended since we looked is not there; another user's refuses. */
function reaches(pid: number, number: number): boolean {
  try {
    return process.kill(pid, number)
  } catch {
    return false
  }
}

function targetsOf(observer: Observer, to: SentSignal['to']): ProcIdentity[] {
  if (to === 'tree') return membersOf(observer.tree)
  if (to === 'ranks') return observer.rankProcesses()
  const one = to === 'root' ? observer.tree.child : observer.rankProcess(to)
  return one === null ? [] : [one]
}

/** What a signal does to a process; handled: it has a handler, or blocks it and may wait for it. */
export function signalEffect(pid: number, number: number): 'ends' | 'handled' | 'none' {
  if (number === SIGKILL) return 'ends'
  const sets = HARMLESS.has(number) ? null : readSignalSets(pid)
  const bit = BigInt(Math.max(0, number - 1))
  if (sets === null || ((sets.ignored >> bit) & 1n) === 1n) return 'none'
  return (((sets.caught | sets.blocked) >> bit) & 1n) === 1n ? 'handled' : 'ends'
}

function wouldEnd(pid: number, number: number): boolean {
  return number !== SIGKILL && signalEffect(pid, number) === 'ends'
}

function named(processes: readonly ProcIdentity[]): string[] {
  const names = processes.slice(0, NAMED_MAX).map(({ pid }) => {
    const stat = readStat(pid)
    return stat === null || isDead(stat) ? `pid ${pid}` : `pid ${pid} (${describe(stat).slice(0, 60)})`
  })
  return processes.length > NAMED_MAX ? [...names, `${processes.length - NAMED_MAX} more`] : names
}
