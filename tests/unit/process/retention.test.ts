import { mkdirSync, readdirSync, utimesSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { sweepLogs } from '../../../src/process/retention.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

let logs: string
beforeEach(() => void (logs = temporaryDirectory()))
afterEach(() => removeDirectory(logs))

const NOW = 2_000_000_000_000
const KIB_64 = 65_536
function logOf(forkId: string, ageMs: number): void {
  mkdirSync(join(logs, forkId))
  writeFileSync(join(logs, forkId, 'stdout'), 'x'.repeat(KIB_64))
  for (const path of [join(logs, forkId, 'stdout'), join(logs, forkId)])
    utimesSync(path, (NOW - ageMs) / 1000, (NOW - ageMs) / 1000)
}
function none(): boolean {
  return false
}

test('logs older than the retention go, younger ones stay', () => {
  logOf('old', 2000)
  logOf('young', 500)
  sweepLogs(logs, none, { ageMsMax: 1000, bytesMax: Infinity, forksMax: Infinity }, NOW)
  expect(readdirSync(logs)).toEqual(['young'])
})

test('too many bytes: the oldest go until the rest fits', () => {
  for (const [forkId, age] of [
    ['c', 100],
    ['a', 300],
    ['b', 200],
  ] as const)
    logOf(forkId, age)
  sweepLogs(logs, none, { ageMsMax: 1000, bytesMax: KIB_64 + 1000, forksMax: Infinity }, NOW)
  expect(readdirSync(logs)).toEqual(['c'])
})

test('forks that are not released keep theirs, whatever their age and size', () => {
  logOf('live', 5000)
  sweepLogs(logs, (forkId) => forkId === 'live', { ageMsMax: 1000, bytesMax: 0, forksMax: Infinity }, NOW)
  expect(readdirSync(logs)).toEqual(['live'])
})

test('too many forks: the oldest go, however small; told is what stays, oldest first', () => {
  for (const [forkId, age] of [
    ['c', 100],
    ['a', 300],
    ['live', 400],
    ['b', 200],
  ] as const)
    logOf(forkId, age)
  expect(
    sweepLogs(logs, (forkId) => forkId === 'live', { ageMsMax: 1000, bytesMax: Infinity, forksMax: 2 }, NOW),
  ).toEqual(['b', 'c'])
  expect(readdirSync(logs).toSorted()).toEqual(['b', 'c', 'live'])
})
