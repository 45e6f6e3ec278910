import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeSpool, sweepTombstones, writeTombstone } from '../../../src/process/spool.ts'

let spool: string
beforeEach(() => {
  spool = mkdtempSync(join(tmpdir(), 'troupe-test-spool-'))
})
afterEach(() => rmSync(spool, { recursive: true, force: true }))

test('a new spool gets this format, and is opened again', () => {
  makeSpool(join(spool, 'new'))
  makeSpool(join(spool, 'new'))
  expect(readlinkSync(join(spool, 'new/format'))).toBe('1')
  expect(readdirSync(join(spool, 'new')).toSorted()).toEqual([
    'forks',
    'format',
    'lock',
    'logs',
    'tombstones',
  ])
})

test.each([
  ['of another number', '2', /has format 2; this version reads format 1/],
  ['from before there were numbers', null, /has no format number/],
])('a spool %s is refused, says what to do, and nothing of it is touched', (_, number, message) => {
  mkdirSync(join(spool, 'forks'))
  mkdirSync(join(spool, 'lock'))
  symlinkSync('4242:1:ab:1:', join(spool, 'lock/1'))
  writeFileSync(join(spool, 'forks/a'), 'x')
  if (number !== null) symlinkSync(number, join(spool, 'format'))
  const before = readdirSync(spool, { recursive: true })
  expect(() => makeSpool(spool)).toThrowError(
    expect.objectContaining({
      code: 'SPOOL',
      message: expect.stringMatching(message),
      hint: expect.stringContaining('troupe down'),
    }),
  )
  expect(readdirSync(spool, { recursive: true })).toEqual(before)
})

test('tombstones: the oldest above their number go, but none of the last hour, and none of a fork that is there', () => {
  makeSpool(join(spool, 'new'))
  const ageHours = { a: 0, b: 0.5, c: 2, d: 3, kept: 4, e: 24 * 31 }
  for (const [forkId, hours] of Object.entries(ageHours)) {
    writeTombstone(join(spool, 'new'), forkId)
    const at = (Date.now() - hours * 3600_000) / 1000
    utimesSync(join(spool, 'new/tombstones', forkId), at, at)
  }
  mkdirSync(join(spool, 'new/forks/kept'))
  const left = (most?: number) => {
    sweepTombstones(join(spool, 'new'), Date.now(), most)
    return readdirSync(join(spool, 'new/tombstones')).toSorted()
  }
  expect(left()).toEqual(['a', 'b', 'c', 'd', 'kept'])
  expect(left(3)).toEqual(['a', 'b', 'c', 'kept'])
  expect(left(1)).toEqual(['a', 'b', 'kept'])
})
