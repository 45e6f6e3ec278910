/**
 * Names and numbers of signals. Node knows the standard ones; real-time signals are counted from SIGRTMIN as
 * a shell does.
 */
import { constants } from 'node:os'

const SIGRTMIN = 34
const SIGRTMAX = 64

/** 6 has two names and 29 too: the one that people know comes last here */
const names = new Map<number, string>(
  Object.entries(constants.signals).map(([name, number]) => [number, name]),
)
names.set(constants.signals.SIGABRT, 'SIGABRT')
names.set(constants.signals.SIGIO, 'SIGIO')
names.set(constants.signals.SIGCHLD, 'SIGCHLD')
names.set(constants.signals.SIGSYS, 'SIGSYS')

/** `SIGKILL`, `SIGRTMIN+2`; a number that nobody has a name for is `SIG32`. */
export function signalName(number: number): string {
  const known = names.get(number)
  if (known !== undefined) return known
  return number >= SIGRTMIN && number <= SIGRTMAX
    ? `SIGRTMIN${number > SIGRTMIN ? `+${number - SIGRTMIN}` : ''}`
    : `SIG${number}`
}

/** @returns null when it is no signal */
export function signalNumber(name: string): number | null {
  const standard = (constants.signals as Record<string, number>)[name]
  if (standard !== undefined) return standard
  const [, base, sign, offset] = /^SIGRT(MIN|MAX)(?:([+-])(\d{1,2}))?$/.exec(name) ?? []
  if (base === undefined) return null
  const number =
    (base === 'MIN' ? SIGRTMIN : SIGRTMAX) + (offset === undefined ? 0 : Number(`${sign}${offset}`))
  return number >= SIGRTMIN && number <= SIGRTMAX ? number : null
}
