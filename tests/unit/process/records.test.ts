import { expect, test } from 'vitest'
import { BLANK_RECORD, exitOf, isDamaged, parseRecord } from '../../../src/process/records.ts'

function withSlot(slot: number, text: string): string {
  const at = slot * 128
  return BLANK_RECORD.slice(0, at) + text.padEnd(127) + BLANK_RECORD.slice(at + 127)
}

test('a blank record tells nothing, and neither does a part of one', () => {
  for (const text of [BLANK_RECORD, '', BLANK_RECORD.slice(0, 200)])
    expect(parseRecord(text)).toEqual({
      shim: null,
      rank: null,
      child: null,
      exit: null,
      emptyAt: null,
      told: null,
    })
})

test('a slot whose first byte has not come yet is blank', () => {
  expect(parseRecord(withSlot(2, ' xit 256 1000')).exit).toBeNull()
})

test('each slot is read by itself', () => {
  expect(parseRecord(withSlot(0, 'shim 12 345')).shim).toEqual({ pid: 12, startTime: '345' })
  expect(parseRecord(withSlot(0, 'shim 12 345 7')).rank).toBe(7)
  expect(parseRecord(withSlot(1, 'child 13 346 1000999 c')).child).toEqual({
    pid: 13,
    startTime: '346',
    at: 1000,
    inCgroup: true,
  })
  expect(parseRecord(withSlot(2, 'exit 256 2000001')).exit).toEqual({
    kind: 'status',
    status: 256,
    at: 2000,
    atMicros: 2_000_001,
  })
  expect(parseRecord(withSlot(2, 'failed 2 exec 2000001')).exit).toEqual({
    kind: 'failed',
    errno: 2,
    stage: 'exec',
    at: 2000,
    atMicros: 2_000_001,
  })
  expect(parseRecord(withSlot(3, 'empty 3000000')).emptyAt).toBe(3000)
})

function never(): boolean | null {
  throw new Error('asked about memory for what was no SIGKILL')
}

test('a wait status is a code or a signal, never both: 137 is not SIGKILL [FC-1 +R3]', () => {
  const of = (status: number, oom = never) => exitOf({ kind: 'status', status, at: 0, atMicros: 0 }, oom)
  expect(of(0)).toEqual({ code: 0, signal: null, oom: false, unknown: null })
  expect(of(137 << 8)).toEqual({ code: 137, signal: null, oom: false, unknown: null })
  expect(of(9, () => null)).toEqual({ code: null, signal: 'SIGKILL', oom: null, unknown: null })
  expect(of(9, () => true)).toMatchObject({ signal: 'SIGKILL', oom: true })
  expect(of(11 | 0x80)).toEqual({ code: null, signal: 'SIGSEGV', oom: false, unknown: null })
})

test('an exec that failed is 127 when there is no such program, else 126', () => {
  const of = (errno: number, stage: string) =>
    exitOf({ kind: 'failed', errno, stage, at: 0, atMicros: 0 }, never).code
  expect([of(2, 'exec'), of(13, 'exec'), of(2, 'chdir'), of(11, 'fork'), of(28, 'logs')]).toEqual([
    127, 126, 126, 126, 126,
  ])
})

test.each([
  ['garbage', withSlot(1, '\u0001\u00ff child 4')],
  ['cut off', withSlot(0, 'shim 12 345').slice(0, 128)],
  ['gone empty', ''],
  ['another slot’s word', withSlot(0, 'child 13 346 1000999 c')],
  ['a word that is no number', withSlot(0, 'shim me 345')],
  ['everybody’s pid', withSlot(1, 'child -1 346 1000999 c')],
  ['half a slot', withSlot(2, 'exit 256')],
])('%s is damage, and nothing of that slot is read', (_, text) => {
  expect(isDamaged(text)).toBe(true)
  expect(parseRecord(text)).toMatchObject({ child: null, exit: null })
})

test('a blank record, each word of a shim and what a later version adds to one are none', () => {
  for (const text of [BLANK_RECORD, withSlot(0, 'shim 12 345 7'), withSlot(1, 'child 13 346 1000999 - new')])
    expect(isDamaged(text)).toBe(false)
  for (const text of ['exit 9 1 fence', 'exit 9 1 adopted', 'failed 2 exec 2000001'])
    expect(isDamaged(withSlot(2, text))).toBe(false)
  expect(isDamaged(withSlot(3, 'told 15 1000 30') + 'more')).toBe(false)
})
