/**
 * An exit in words, and whether it is a failure at all. Its number is protocol/signals.ts.
 */
import type { Exit } from '../../protocol/shapes.ts'

export function exitText(exit: Exit): string {
  return `${howText(exit)}${exit.inSetUp === undefined ? '' : ` in its set-up${exit.inSetUp === '' ? '' : `, at '${exit.inSetUp}'`}`}`
}

function howText(exit: Exit): string {
  return exit.signal !== null
    ? `was killed by ${exit.signal}${exit.oom === true ? ' (out of memory)' : ''}${exit.sentBy === undefined ? '' : `, sent by ${exit.sentBy}`}`
    : exit.code !== null
      ? `exited ${exit.code}`
      : exit.unknown?.startsWith('could not start') === true
        ? exit.unknown
        : `ended, and how is not known (${exit.unknown ?? 'no record'})`
}

export function exitedCleanly(exit: Exit): boolean {
  return exit.code === 0
}
