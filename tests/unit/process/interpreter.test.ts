import { chmodSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { missingInterpreter } from '../../../src/process/interpreter.ts'
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
  ['an interpreter that is there', '#!/bin/sh\n', null],
  ['no first line of that kind', 'echo hi\n', null],
  ['an empty file', '', null],
])('the first line of a program: %s', (_, text, expected) => {
  const file = join(directory, 'job')
  writeFileSync(file, text)
  chmodSync(file, 0o755)
  expect(missingInterpreter('./job', directory, undefined)).toBe(expected)
  expect(missingInterpreter('job', '/', `/nowhere:${directory}`)).toBe(
    expected?.replace('./job', 'job') ?? null,
  )
})

test('a program that is not there has no first line', () => {
  expect(missingInterpreter('./none', directory, undefined)).toBeNull()
  expect(missingInterpreter('none', directory, directory)).toBeNull()
})
