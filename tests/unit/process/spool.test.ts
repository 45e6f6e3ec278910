import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { makeSpool } from '../../../src/process/spool.ts'

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
