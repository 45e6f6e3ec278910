/** Values of flags: read and refused in one way. */
import { InvalidArgumentError } from 'commander'
import { DURATION_FORMS, parseDuration } from '../../protocol/launch/units.ts'

/** Help of `--connect-timeout` where a bus is waited for without end. */
export const CONNECT_TIMEOUT = 'end with code 4 when the bus was not reached for so long (default: wait)'

/** `90s`, `1h30m` → ms */
export function durationOption(text: string): number {
  const ms = parseDuration(text)
  if (ms === null) throw new InvalidArgumentError(`Write ${DURATION_FORMS}.`)
  return ms
}

export function countOption(text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new InvalidArgumentError('Write a whole number.')
  return Number(text)
}

export function choiceOption<const C extends readonly string[]>(choices: C) {
  return (text: string): C[number] => {
    if (!choices.includes(text)) throw new InvalidArgumentError(`Write ${choices.join(', ')}.`)
    return text
  }
}

export function listOption(text: string, before: string[] = []): string[] {
  return [...before, text]
}

/** A time: how long ago (`10m`), or an ISO date → Unix ms */
export function sinceOption(text: string, now = Date.now()): number {
  const ago = parseDuration(text)
  if (ago !== null) return now - ago
  const at = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN
  if (Number.isNaN(at))
    throw new InvalidArgumentError(`Write ${DURATION_FORMS} (ago), or a date such as 2026-05-04T13:00:00Z.`)
  return at
}
