import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  DURATION_MS_MAX,
  parseDuration,
  parseShape,
  parseSize,
} from '../../../../src/protocol/launch/units.ts'

test.each([
  ['250ms', 250],
  ['90s', 90_000],
  ['1h30m', 5_400_000],
  ['4:00:00', 14_400_000],
  ['2d', 172_800_000],
  ['1.5h', 5_400_000],
  ['0', 0],
  ['0:00:01', 1000],
  ['1d2h3m4s5ms', 93_784_005],
])('the duration %s', (text, ms) => {
  expect(parseDuration(text)).toBe(ms)
})
test.each([
  '',
  '30',
  '10 minutes',
  '4:00',
  '4:60:00',
  '1m1h',
  '1h1h',
  '-1s',
  '1e3s',
  's',
  '1001d',
  '9999999999999s',
  '1h 30m',
  'Infinity',
  'NaN',
  '1.s',
])('%j is no duration', (text) => {
  expect(parseDuration(text)).toBeNull()
})
test.each([
  ['16GB', 16e9],
  ['16GiB', 16 * 2 ** 30],
  ['500MB', 5e8],
  ['1.5 KiB', 1536],
  ['0', 0],
  ['7B', 7],
  ['2tb', 2e12],
])('the size %s', (text, bytes) => {
  expect(parseSize(text)).toBe(bytes)
})
test.each(['', '16', '16G', '16 giga', '-1GB', '1iB', '99999999TB', 'GB'])('%j is no size', (text) => {
  expect(parseSize(text)).toBeNull()
})
test.each([
  ['2x8', { nodesMin: 2, nodes: 2, nproc: 8 }],
  ['1:2x8', { nodesMin: 1, nodes: 2, nproc: 8 }],
  ['1x1', { nodesMin: 1, nodes: 1, nproc: 1 }],
])('the shape %s', (text, shape) => {
  expect(parseShape(text)).toEqual(shape)
})
test.each(['', '2', '2*8', '0x8', '2x0', '3:2x8', '0:2x8', '2x8x1', '-1x2', '99999x1'])(
  '%j is no shape',
  (text) => {
    expect(parseShape(text)).toBeNull()
  },
)

test('any duration written in units is read back', () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: DURATION_MS_MAX }), (ms) => {
      const parts = [
        ['d', 86_400_000],
        ['h', 3_600_000],
        ['m', 60_000],
        ['s', 1000],
        ['ms', 1],
      ] as const
      let rest = ms
      let text = ''
      for (const [unit, size] of parts) {
        if (rest >= size) text += `${Math.floor(rest / size)}${unit}`
        rest %= size
      }
      return parseDuration(text === '' ? '0' : text) === ms
    }),
  )
})

test('any clock is read back', () => {
  fc.assert(
    fc.property(
      fc.nat(1000),
      fc.nat(59),
      fc.nat(59),
      (h, m, s) =>
        parseDuration(`${h}:${String(m).padStart(2, '0')}:${String(s).padStart(2, '0')}`) ===
        ((h * 60 + m) * 60 + s) * 1000,
    ),
  )
})

test('any text at all gives a whole number in bounds or null', () => {
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[0-9.:dhmsxGMKiB ]{0,20}$/)), (text) => {
      const ms = parseDuration(text)
      const bytes = parseSize(text)
      const shape = parseShape(text)
      expect(ms === null || (Number.isInteger(ms) && ms >= 0 && ms <= DURATION_MS_MAX)).toBe(true)
      expect(bytes === null || (Number.isSafeInteger(bytes) && bytes >= 0)).toBe(true)
      expect(
        shape === null || (shape.nodesMin >= 1 && shape.nodesMin <= shape.nodes && shape.nproc >= 1),
      ).toBe(true)
    }),
    { numRuns: 500 },
  )
})

test('any size written in units is read back', () => {
  fc.assert(
    fc.property(
      fc.nat(8000),
      fc.constantFrom(['B', 1], ['KB', 1e3], ['MiB', 2 ** 20], ['GB', 1e9], ['TiB', 2 ** 40] as const),
      (n, [unit, size]) => parseSize(`${n}${unit}`) === n * Number(size),
    ),
  )
})
