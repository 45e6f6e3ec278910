/**
 * Units as people write them: durations, sizes, shapes. Pure parsers that give a number or null; the words of
 * the error (which forms are accepted) stand beside each, so that every place that refuses one says the same.
 * A bare number is refused, except 0: `timeout: 30` means seconds to one reader and milliseconds to the next.
 */

import { WORKERS_MAX } from '../bounds.ts'

export const DURATION_FORMS = '250ms, 90s, 1h30m, 4:00:00 or 2d'
export const SIZE_FORMS = '16GB, 16GiB or 500MB'
export const SHAPE_FORMS = '2x8 (nodes x processes per node) or 1:2x8 (elastic)'

/** Longest duration, 1,000 days: beyond it a typing error is likelier than a wish. */
export const DURATION_MS_MAX = 1000 * 86_400_000

const DURATION_UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1000],
  ['ms', 1],
]

/** @returns whole milliseconds, or null when the text is none of DURATION_FORMS or beyond DURATION_MS_MAX */
export function parseDuration(text: string | number): number | null {
  const word = String(text).trim()
  if (word === '0') return 0
  const ms = parseClock(word) ?? parseParts(word)
  return ms === null || ms > DURATION_MS_MAX ? null : Math.round(ms)
}

/**
 * `4:00:00`, hours and minutes and seconds; two parts are refused, since `4:00` is four minutes to Slurm and
 * four hours to people.
 */
function parseClock(word: string): number | null {
  const match = /^(\d{1,6}):([0-5]\d):([0-5]\d)$/.exec(word)
  return match ? (Number(match[1]) * 3600 + Number(match[2]) * 60 + Number(match[3])) * 1000 : null
}

function parseParts(word: string): number | null {
  if (!/^(\d{1,12}(\.\d{1,6})?(ms|[dhms]))+$/.test(word)) return null
  let total = 0
  let largest = -1
  for (const [, amount, unit] of word.matchAll(/(\d+(?:\.\d+)?)(ms|[dhms])/g)) {
    const place = DURATION_UNITS.findIndex(([name]) => name === unit)
    // each unit once, largest first: `30m1h` and `1h1h` are typing errors
    if (place <= largest) return null
    largest = place
    total += Number(amount) * DURATION_UNITS[place]![1]
  }
  return total
}

const SIZE_UNITS: Record<string, number> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

/** @returns whole bytes, or null when the text is none of SIZE_FORMS or beyond what a number holds exactly */
export function parseSize(text: string | number): number | null {
  const word = String(text).trim()
  if (word === '0') return 0
  const match = /^(\d{1,15}(?:\.\d{1,6})?) ?([kmgt]?i?b)$/i.exec(word)
  const unit = match && SIZE_UNITS[match[2]!.toUpperCase()]
  if (!match || unit === undefined || unit === null) return null
  const bytes = Math.round(Number(match[1]) * unit)
  return bytes > Number.MAX_SAFE_INTEGER ? null : bytes
}

/** Nodes by processes per node, of a torchrun role. `nodesMin` < `nodes` is elastic. */
export interface Shape {
  nodesMin: number
  nodes: number
  nproc: number
}

/** @returns the shape, or null when the text is none of SHAPE_FORMS */
export function parseShape(text: string): Shape | null {
  const match = /^(?:(\d{1,5}):)?(\d{1,5})x(\d{1,4})$/.exec(text.trim())
  if (!match) return null
  const nodes = Number(match[2])
  const nodesMin = match[1] === undefined ? nodes : Number(match[1])
  const nproc = Number(match[3])
  return nodesMin < 1 || nodesMin > nodes || nodes > WORKERS_MAX || nproc < 1
    ? null
    : { nodesMin, nodes, nproc }
}
