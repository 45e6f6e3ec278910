/**
 * The log of a coordinator or an agent in the foreground: one event, one line of JSON on stdout, fields and
 * not prose.
 */
import { pino, type DestinationStream } from 'pino'

export type ComponentLog = (fields: Record<string, unknown>) => void

const LEVELS = ['debug', 'info', 'warn', 'error'] as const
type Level = (typeof LEVELS)[number]

/**
 * @param base  stands in every line: component, node, incarnation
 * @returns     takes `level` out of the fields: one of LEVELS, `info` when there is none
 */
export function componentLog(
  base: Record<string, unknown>,
  to: DestinationStream = pino.destination({ dest: 1, sync: true }),
): ComponentLog {
  const logger = pino({ level: 'debug', base, timestamp: () => `,"time":"${new Date().toISOString()}"` }, to)
  return ({ level, ...fields }) => {
    logger[LEVELS.includes(level as Level) ? (level as Level) : 'info'](fields)
  }
}
