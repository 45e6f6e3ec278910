/**
 * The table of signals: names, numbers (Linux), and the code that a shell gives to an exit. The only one:
 * launch documents, the command line, the agent and the coordinator read it here.
 *
 * A real-time signal is counted from SIGRTMIN, as a shell does. The C library keeps 32 and 33 to itself; they
 * have no names, so they are written by number.
 */
import type { Exit } from './shapes.ts'

/** By number, from 1. */
const STANDARD = [
  'SIGHUP',
  'SIGINT',
  'SIGQUIT',
  'SIGILL',
  'SIGTRAP',
  'SIGABRT',
  'SIGBUS',
  'SIGFPE',
  'SIGKILL',
  'SIGUSR1',
  'SIGSEGV',
  'SIGUSR2',
  'SIGPIPE',
  'SIGALRM',
  'SIGTERM',
  'SIGSTKFLT',
  'SIGCHLD',
  'SIGCONT',
  'SIGSTOP',
  'SIGTSTP',
  'SIGTTIN',
  'SIGTTOU',
  'SIGURG',
  'SIGXCPU',
  'SIGXFSZ',
  'SIGVTALRM',
  'SIGPROF',
  'SIGWINCH',
  'SIGIO',
  'SIGPWR',
  'SIGSYS',
] as const
/** Second names that signal(7) has. */
const ALIASES: Readonly<Record<string, number>> = { SIGIOT: 6, SIGCLD: 17, SIGPOLL: 29 }

const SIGRTMIN = 34
const SIGRTMAX = 64
/** What Troupe itself failed at, or an end that nobody can know. */
export const TROUPE_FAILED = 125

/** `SIGKILL`, `SIGRTMIN+2`; a number without a name is `SIG32`. @param number  1 to 64 */
export function signalName(number: number): string {
  const standard = STANDARD[number - 1]
  if (standard !== undefined) return standard
  if (number < SIGRTMIN || number > SIGRTMAX) return `SIG${number}`
  return number === SIGRTMIN ? 'SIGRTMIN' : `SIGRTMIN+${number - SIGRTMIN}`
}

/** @param name  as `signalName` writes it, or `SIGRTMAX-1`. @returns null when there is no such signal */
export function signalNumber(name: string): number | null {
  const standard = ALIASES[name] ?? (STANDARD as readonly string[]).indexOf(name) + 1
  if (standard > 0) return standard
  const numbered = /^SIG([1-9]\d?)$/.exec(name)
  if (numbered !== null) return inRange(Number(numbered[1]), 1)
  const counted = /^SIGRT(MIN|MAX)([+-]\d{1,2})?$/.exec(name)
  if (counted === null) return null
  const from = counted[1] === 'MIN' ? SIGRTMIN : SIGRTMAX
  return inRange(from + Number(counted[2] ?? 0), SIGRTMIN)
}

function inRange(number: number, min: number): number | null {
  return number >= min && number <= SIGRTMAX ? number : null
}

/** `TERM`, `SIGTERM`, `RTMIN+1` or `35`. @returns the name that the wire has, or null */
export function parseSignal(text: string): string | null {
  const number = signalNumber(`SIG${text.toUpperCase().replace(/^SIG/, '')}`)
  return number === null ? null : signalName(number)
}

/** Names without `SIG`, for completion. */
export const SIGNAL_WORDS: readonly string[] = STANDARD.map((name) => name.slice('SIG'.length))

/** The child's code, 128 + signal, or TROUPE_FAILED when nobody can know. */
export function exitCodeOf({ code, signal }: Pick<Exit, 'code' | 'signal'>): number {
  if (code !== null) return code
  const number = signal === null ? null : signalNumber(signal)
  return number === null ? TROUPE_FAILED : 128 + number
}
