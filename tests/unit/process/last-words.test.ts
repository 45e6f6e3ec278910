import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { errorFileText, lastLines, stderrTail } from '../../../src/process/last-words.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

let directory: string
beforeEach(() => void (directory = temporaryDirectory()))
afterEach(() => removeDirectory(directory))
function write(name: string, text: string | Uint8Array): string {
  writeFileSync(join(directory, name), text)
  return join(directory, name)
}

test('the last 50 lines, with or without a newline at the end [A-34]', () => {
  const lines = Array.from({ length: 70 }, (_, i) => `line ${i}`)
  expect(lastLines(write('a', `${lines.join('\n')}\n`))).toEqual(lines.slice(20))
  expect(lastLines(write('b', lines.join('\n')))).toEqual(lines.slice(20))
})

test('no file and an empty file have no lines; blank lines are lines', () => {
  expect(lastLines(join(directory, 'none'))).toEqual([])
  expect(lastLines(write('empty', ''))).toEqual([])
  expect(lastLines(write('blank', '\n\nx\n'))).toEqual(['', '', 'x'])
})

test('never more than 16 KiB, also of bytes that are no text', () => {
  expect(lastLines(write('long', 'y'.repeat(100_000))).join('\n')).toHaveLength(16 * 1024)
  expect(lastLines(write('binary', new Uint8Array(100).fill(0xff))).join('')).toContain('\ufffd')
})

test('the rank that failed first speaks before torchrun; without words of its own torchrun does [A-34]', () => {
  write('stderr', 'torchrun: a rank failed\n')
  write('r3-stderr', 'ValueError: rank 3\n')
  write('r4-stderr', '')
  expect(stderrTail(directory, 'r3')).toEqual(['ValueError: rank 3'])
  expect(stderrTail(directory, 'r4')).toEqual(['torchrun: a rank failed'])
  expect(stderrTail(directory, null)).toEqual(['torchrun: a rank failed'])
})

test('torch’s error file is there or not', () => {
  expect(errorFileText(join(directory, 'none'))).toBeNull()
  expect(errorFileText(write('error.json', '{"message":"x"}'))).toBe('{"message":"x"}')
})
