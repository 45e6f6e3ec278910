import { expect, test } from 'vitest'
import { secondsText } from '../../../../src/core/coordinator/seconds-text.ts'

test('below two minutes a duration is told in seconds, from there on in minutes, with a tenth at most', () => {
  expect([0, 849, 90_000, 119_999, 120_000, 930_000].map(secondsText)).toEqual([
    '0 s',
    '0.8 s',
    '90 s',
    '120 s',
    '2 min',
    '15.5 min',
  ])
})
