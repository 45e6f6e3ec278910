/** Variables whose bytes are no UTF-8 stay as they are. */
import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { readExecFile, writeExecFile } from '../../../src/process/exec-file.ts'
import { decodeWord, encodeWord, exactEnv, isEscaped, withExactWords } from '../../../src/system/exact-env.ts'

test.each([
  [[0x61, 0xe4, 0x62]],
  [[0xff, 0xfe]],
  [[0xc3, 0xb6, 0x3d, 0x80]],
  [[...Buffer.from('💖'), 0x9f]],
  [[...Buffer.from('ö💖 \uFFFD')]],
  [[]],
])('the bytes %j come back', (list) => {
  const bytes = Buffer.from(list)
  expect([...encodeWord(decodeWord(bytes))]).toEqual(list)
})

test('half of a pair is no escaped byte', () => {
  // its second half is U+DC96
  expect(isEscaped('💖')).toBe(false)
  expect(encodeWord('💖\udce4').toString('latin1')).toBe('\xf0\x9f\x92\x96\xe4')
})

const WORDS = Buffer.from('X=a\xe4\0N\xff=1\0GONE=\xe4\0', 'latin1').toString('base64')
const NODES = { X: 'a\uFFFD', 'N\uFFFD': '1', GONE: 'set anew', OTHER: 'ö', TROUPE_BYTES: WORDS }

test('what was passed on replaces what Node had to change, unless it was set anew', () => {
  const { TROUPE_BYTES: _, ...exact } = exactEnv(NODES)
  expect(exact).toEqual({ X: 'a\udce4', 'N\udcff': '1', GONE: 'set anew', OTHER: 'ö' })
})

test('a component gets the words of this process, and those that it got itself; what is too long is left out', () => {
  expect(Buffer.from(withExactWords(NODES)['TROUPE_BYTES']!, 'base64').toString('latin1')).toBe(
    'X=a\xe4\0N\xff=1\0GONE=\xe4\0',
  )
  expect(withExactWords({ A: 'ö' })).toEqual({ A: 'ö' })
  const long = Buffer.from(`L=\xe4${'x'.repeat(90_000)}\0`, 'latin1').toString('base64')
  const passed = withExactWords({ L: 'y', TROUPE_BYTES: long })
  expect(passed).not.toHaveProperty('L')
})

test('an exec file holds the bytes, and reads back as what was written', () => {
  const file = join(tmpdir(), `troupe-exec-${process.pid}`)
  const exec = { cwd: '/', logDir: '/l', cgroup: null, bootId: 'b', oomKills: null, argv: ['ö'] }
  const env = { X: 'a\udce4', 'N\udcff': '1' }
  try {
    writeExecFile(file, { ...exec, env })
    expect(readFileSync(file).includes(Buffer.from('\0X=a\xe4\0N\xff=1\0', 'latin1'))).toBe(true)
    expect(readExecFile(file)).toEqual({ ...exec, env })
  } finally {
    rmSync(file)
  }
})
