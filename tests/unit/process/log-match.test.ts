import { appendFileSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { matchLogs, type LogMatchInput } from '../../../src/process/log-match.ts'

let directory: string
let file: string
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'troupe-log-match-'))
  file = join(directory, 'stdout')
})
afterEach(() => rmSync(directory, { recursive: true }))

function logOf(pattern: string, more: Partial<LogMatchInput> = {}) {
  return matchLogs({ pattern, files: () => [file], ...more })
}

test('a line that comes in pieces is matched whole, also within a character', async () => {
  const log = logOf('^größe saved$')
  const bytes = Buffer.from('größe saved\n')
  writeFileSync(file, bytes.subarray(0, 3))
  expect(await log.look()).toBeNull()
  appendFileSync(file, bytes.subarray(3, 8))
  expect(await log.look()).toBeNull()
  appendFileSync(file, bytes.subarray(8))
  expect(await log.look()).toBe(file)
  log.close()
})

test('what stands before the offset does not count, nor the rest of a line that began there', async () => {
  writeFileSync(file, 'saved\nsaved')
  const log = logOf('^saved$', { from: { stdout: 11 } })
  appendFileSync(file, '\nsav')
  expect(await log.lookToEnd()).toEqual({ file: null, whole: true })
  appendFileSync(file, 'ed\n')
  expect(await log.look()).toBe(file)
  log.close()
})

test('a last line without an end is looked at, at the end', async () => {
  writeFileSync(file, 'step 1\nsaved')
  const log = logOf('^saved$')
  expect(await log.lookToEnd()).toEqual({ file, whole: true })
  log.close()
})

test.each([
  'saved\r\n',
  '\rsaved\n',
  'epoch 3: 50%\rsaved\repoch 4: 0%',
  '\u001b[32msaved\u001b[0m\n',
  '\r\u001b[Ksaved',
])('a line is matched as it reads: %j', async (text) => {
  const log = logOf('^saved$')
  writeFileSync(file, text)
  expect((await log.lookToEnd()).file).toBe(file)
  log.close()
})

test.each(['not saved\r\n', 'saved\bx\n', '50%\r\n', '\r[1Ksaved'])(
  'text that reads otherwise does not match: %j',
  async (text) => {
    const log = logOf('^(saved)?$')
    writeFileSync(file, text)
    expect((await log.lookToEnd()).file).toBeNull()
    log.close()
  },
)

test.each([70_000, 200_000, 3_000_000])(
  'a line of more than %i characters: its begin and its end are matched',
  async (length) => {
    writeFileSync(file, `saved ${'x'.repeat(length)}`)
    const begin = logOf('^saved')
    expect((await begin.lookToEnd()).file).toBe(file)
    begin.close()
    writeFileSync(file, `${'x'.repeat(length)} saved`)
    const end = logOf(' saved$')
    expect((await end.lookToEnd()).file).toBe(file)
    end.close()
  },
)

test('a log that its program empties is read anew from its begin', async () => {
  writeFileSync(file, 'a line that was there before the stop\n')
  const log = logOf('^saved$', { from: { stdout: 38 } })
  expect(await log.look()).toBeNull()
  truncateSync(file, 0)
  appendFileSync(file, 'saved\n')
  expect(await log.look()).toBe(file)
  log.close()
})

test('a log that is not there cannot be looked at whole', async () => {
  const log = logOf('saved')
  expect(await log.lookToEnd()).toEqual({ file: null, whole: false })
  log.close()
})

test('of more than 64 MiB at an end the last are looked at, and "no" is not the whole truth', async () => {
  writeFileSync(file, 'saved\n')
  truncateSync(file, 65 * 1024 * 1024)
  appendFileSync(file, '\nother\n')
  const first = logOf('^saved$')
  expect(await first.lookToEnd()).toEqual({ file: null, whole: false })
  first.close()
  const last = logOf('^other$')
  expect(await last.lookToEnd()).toEqual({ file, whole: true })
  last.close()
}, 60_000)
