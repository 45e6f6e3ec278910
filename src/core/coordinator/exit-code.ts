/**
 * An exit as the shell's number, and whether it is a failure at all.
 */
import type { Exit } from '../../protocol/shapes.ts'

const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPWR: 30,
  SIGSYS: 31,
}

/** What Troupe itself failed at. */
export const TROUPE_FAILED = 125

/** The child's code, 128 + signal, or 125 when nobody can know. */
export function codeOfExit(exit: Exit): number {
  return exit.code ?? (exit.signal === null ? TROUPE_FAILED : 128 + (SIGNALS[exit.signal] ?? 0))
}

export function exitText(exit: Exit): string {
  return `${howText(exit)}${exit.inSetUp === undefined ? '' : ` in its set-up${exit.inSetUp === '' ? '' : `, at '${exit.inSetUp}'`}`}`
}

function howText(exit: Exit): string {
  return exit.signal !== null
    ? `was killed by ${exit.signal}${exit.oom === true ? ' (out of memory)' : ''}`
    : exit.code !== null
      ? `exited ${exit.code}`
      : `ended, and how is not known (${exit.unknown ?? 'no record'})`
}

export function exitedCleanly(exit: Exit): boolean {
  return exit.code === 0
}
