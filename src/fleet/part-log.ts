/** The log of a part in the foreground: one event, one line of JSON on stdout, fields and not prose. */
import { pino } from 'pino'

export type PartLog = (fields: Record<string, unknown>) => void

/** @param base  what stands in every line: part, node, incarnation */
export function partLog(base: Record<string, unknown>): PartLog {
  const logger = pino(
    { base, timestamp: () => `,"time":"${new Date().toISOString()}"` },
    pino.destination({ dest: 1, sync: true }),
  )
  return ({ level = 'info', ...fields }) => (level === 'error' ? logger.error(fields) : logger.info(fields))
}
