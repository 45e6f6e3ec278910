import { chmodSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { foreignProgram, whyNotExecuted } from '../../../src/process/not-executed.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

let directory: string
beforeEach(() => void (directory = temporaryDirectory()))
afterEach(() => removeDirectory(directory))

test.each([
  [
    'lines as another system ends them',
    '#!/bin/sh\r\necho hi\r\n',
    "'/bin/sh\\r' (first line of ./job) is not there",
  ],
  ['no such interpreter', '#!/no/such/interp\n', "'/no/such/interp' (first line of ./job) is not there"],
  ['with an argument', '#! /no/such/env -S x\n', "'/no/such/env' (first line of ./job) is not there"],
  ['a directory', '#!/tmp\n', "'/tmp' (first line of ./job) is a directory"],
  ['not executable', '#!/etc/passwd\n', "'/etc/passwd' (first line of ./job) may not be executed"],
  ['a relative one', '#!bin/none\n', "'bin/none' (first line of ./job) is not there"],
  ['an interpreter that is there', '#!/bin/sh\n', null],
  ['no first line of that kind', 'echo hi\n', null],
  ['an empty file', '', null],
])('the first line of a program: %s', (_, text, expected) => {
  const file = join(directory, 'job')
  writeFileSync(file, text)
  chmodSync(file, 0o755)
  expect(whyNotExecuted('./job', directory, undefined)).toBe(expected)
  expect(whyNotExecuted('job', '/', `/nowhere:${directory}`)).toBe(expected?.replace('./job', 'job') ?? null)
})

test('a program that is not there has no first line', () => {
  expect(whyNotExecuted('./none', directory, undefined)).toBeNull()
  expect(whyNotExecuted('none', directory, directory)).toBeNull()
})

test('an interpreter that is a script itself: what that one needs is named', () => {
  const middle = join(directory, 'middle')
  writeFileSync(middle, '#!/no/such/python\n')
  writeFileSync(join(directory, 'job'), `#!${middle}\n`)
  chmodSync(middle, 0o755)
  expect(whyNotExecuted('./job', directory, undefined)).toBe(
    `'/no/such/python' (first line of ${middle}) is not there`,
  )
})

test('a script that is its own interpreter ends', () => {
  const file = join(directory, 'job')
  writeFileSync(file, `#!${file}\n`)
  chmodSync(file, 0o755)
  expect(whyNotExecuted('./job', directory, undefined)).toBeNull()
})

test('a link to nothing, and a directory, are what they are', () => {
  symlinkSync('/no/such/place', join(directory, 'link'))
  mkdirSync(join(directory, 'dir'))
  expect(whyNotExecuted('./link', directory, undefined)).toBe(
    './link is a link to /no/such/place, which is not there',
  )
  expect(whyNotExecuted('./dir', directory, undefined)).toBe('./dir is a directory')
})

/** A shell, with bytes of it changed. */
function changed(change: (bytes: Buffer) => void): void {
  const bytes = Buffer.from(readFileSync('/bin/sh'))
  change(bytes)
  writeFileSync(join(directory, 'job'), bytes, { mode: 0o755 })
}

test('a program of another C library: its loader is named', () => {
  changed((bytes) => {
    const at = bytes.indexOf('/ld-linux')
    bytes.write('/ld-nosuch', at)
  })
  expect(whyNotExecuted('./job', directory, undefined)).toMatch(
    /^'\/.*\/ld-nosuch.*' \(the loader of \.\/job\) is not there$/,
  )
  expect(whyNotExecuted('/bin/sh', directory, undefined)).toBeNull()
})

test('a program for another machine is named, one for this one and a script are not', () => {
  const other = process.arch === 'x64' ? 183 : 62
  changed((bytes) => void bytes.writeUInt16LE(other, 18))
  expect(foreignProgram('./job', directory, undefined)).toBe(
    `./job is made for ${process.arch === 'x64' ? 'arm64' : 'x64'}, and this is ${process.arch}`,
  )
  expect(foreignProgram('/bin/sh', directory, undefined)).toBeNull()
  writeFileSync(join(directory, 'script'), 'echo\n', { mode: 0o755 })
  expect(foreignProgram('./script', directory, undefined)).toBeNull()
})

test.each([0, 3, 10, 19, 20, 40, 63, 64, 100])(
  'a program that is cut after %i bytes: nothing is said',
  (length) => {
    writeFileSync(join(directory, 'job'), readFileSync('/bin/sh').subarray(0, length), { mode: 0o755 })
    expect(whyNotExecuted('./job', directory, undefined)).toBeNull()
    expect(foreignProgram('./job', directory, undefined)).toBeNull()
  },
)
