/**
 * The log of a coordinator or an agent in the foreground: one event, one line of JSON on stdout, fields and
 * not prose.
 */
import { pino, type DestinationStream } from 'pino'

export type ComponentLog = (fields: Record<string, unknown>) => void

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof LEVELS)[number]

/** So much is kept for a disk that is full; lines beyond it are dropped. */
const UNWRITTEN_BYTES_MAX = 1024 * 1024

/** A line that cannot be written (a full disk) waits for the next one: it ends nobody. */
function linesTo(fd: number): DestinationStream {
  const lines = pino.destination({ dest: fd, sync: true, maxLength: UNWRITTEN_BYTES_MAX })
  lines.on('error', () => {})
  return lines
}

/**
 * @param base  stands in every line: component, node, incarnation
 * @param to    a file descriptor, or a stream of lines
 * @returns     takes `level` out of the fields: one of LEVELS, `info` when there is none
 */
export function componentLog(
  base: Record<string, unknown>,
  to: DestinationStream | number = 1,
): ComponentLog {
  const logger = pino(
    { level: 'debug', base, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    typeof to === 'number' ? linesTo(to) : to,
  )
  return ({ level, ...fields }) => {
    logger[LEVELS.includes(level as Level) ? (level as Level) : 'info'](fields)
  }
}
