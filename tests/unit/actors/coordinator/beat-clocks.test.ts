import { expect, test } from 'vitest'
import { beatClocks } from '../../../../src/actors/coordinator/beat-clocks.ts'

test('a beat tells an agent’s clock: it runs on with ours', () => {
  let now = 1000
  const clocks = beatClocks(() => now, 30_000)
  clocks.heard('n0', { incarnation: 'a', tick: 77 })
  now += 500
  expect([clocks.tickOf('n0', 'a'), clocks.tickOf('n0', 'b'), clocks.tickOf('n1', 'a')]).toEqual([
    577,
    null,
    null,
  ])
})

test('an older beat of one incarnation comes late: the newer stands; another incarnation replaces it', () => {
  const clocks = beatClocks(() => 0, 30_000)
  clocks.heard('n0', { incarnation: 'a', tick: 77 })
  clocks.heard('n0', { incarnation: 'a', tick: 60 })
  expect(clocks.tickOf('n0', 'a')).toBe(77)
  clocks.heard('n0', { incarnation: 'b', tick: 3 })
  expect([clocks.tickOf('n0', 'a'), clocks.tickOf('n0', 'b')]).toEqual([null, 3])
})

test('nodes come and go for ever: those that are silent for long leave memory', () => {
  let now = 0
  const clocks = beatClocks(() => now, 30_000)
  for (let i = 0; i < 1000; i++) {
    now += 1000
    clocks.heard('stays', { incarnation: 'a', tick: now })
    clocks.heard(`job-${i}`, { incarnation: 'a', tick: 1 })
  }
  expect([clocks.size, clocks.tickOf('stays', 'a'), clocks.tickOf('job-0', 'a')]).toEqual([
    32,
    1_000_000,
    null,
  ])
})
