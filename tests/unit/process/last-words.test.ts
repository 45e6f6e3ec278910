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

test('stderr has nothing: the last lines of stdout are told, of what failed alone', () => {
  write('stderr', '\n')
  write('stdout', 'one\ncannot go on\n')
  expect(stderrTail(directory, null)).toEqual(['one', 'cannot go on'])
  expect(stderrTail(directory, null, false)).toEqual([])
  write('r1-stderr', '')
  write('r1-stdout', 'rank one says\n')
  expect(stderrTail(directory, 'r1')).toEqual(['rank one says'])
})

test('a progress bar is one line, its last state, and hides no line before it', () => {
  const bar = Array.from({ length: 3000 }, (_, i) => `\rtrain: ${i}/3000 [........]`).join('')
  expect(lastLines(write('bar', `before\n${bar}\nValueError: x\r\n`))).toEqual([
    'before',
    'train: 2999/3000 [........]',
    'ValueError: x',
  ])
})

const AGENT = [
  'W1130 14:00:00.123 torch/distributed/elastic/agent/server/api.py:725] Received Signals.SIGTERM death signal, shutting down workers',
  'W1130 14:00:00.124 torch/distributed/elastic/multiprocessing/api.py:900] Sending process 71 closing signal SIGTERM',
]
const TOLD_TO_STOP = [
  'Traceback (most recent call last):',
  '  File "/usr/lib/python3/runpy.py", line 198, in _run_module_as_main',
  '    return _run_code(code, main_globals, None,',
  'torch.distributed.elastic.multiprocessing.api.SignalException: Process 70 got signal: 15',
]
const RANK_FAILED = [
  'E1130 14:00:01.000 torch/api.py:984] failed (exitcode: 9) local_rank: 0 (pid: 71) of binary: ' +
    '/home/me/.cache/troupe/shim/shim-x64-0a1b',
  'Traceback (most recent call last):',
  '  File "/usr/lib/python3/runpy.py", line 198, in _run_module_as_main',
  'torch.distributed.elastic.multiprocessing.errors.ChildFailedError: ',
  '============================================================',
  '/home/me/.cache/troupe/shim/shim-x64-0a1b FAILED',
  '------------------------------------------------------------',
  'Failures:',
  '  <NO_OTHER_FAILURES>',
  '============================================================',
]

test('tracebacks and summaries of a launcher that tell of others are left out; its own errors stay', () => {
  const own = ['Traceback (most recent call last):', '  File "train.py", line 3', 'ValueError: mine']
  expect(lastLines(write('a', [...own, ...AGENT, ...TOLD_TO_STOP].join('\n')))).toEqual(own)
  expect(lastLines(write('b', [...own, ...RANK_FAILED, 'after'].join('\n')))).toEqual([...own, 'after'])
  const rendezvous = [
    'Traceback (most recent call last):',
    '  File "run.py", line 9',
    'RendezvousTimeoutError',
  ]
  expect(lastLines(write('c', rendezvous.join('\n')))).toEqual(rendezvous)
})

test('torchrun alone speaks, of others: the words of the program on stdout are told', () => {
  write('stderr', [...AGENT, ...TOLD_TO_STOP].join('\n'))
  write('stdout', 'loss is nan\n')
  expect(stderrTail(directory, null)).toEqual(['loss is nan'])
})
