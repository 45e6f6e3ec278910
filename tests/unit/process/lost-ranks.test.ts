import { expect, test } from 'vitest'
import { lostExit, type Surroundings } from '../../../src/process/lost-ranks.ts'
import { parseRecord, type ForkRecord, type RawExit } from '../../../src/process/records.ts'

const AT = 1_000_000

/** A rank that was told to end `passedMs` before it ended by `status`. */
function record(passedMs: number | null, seconds = 60, status: number | null = 9): ForkRecord {
  const lines = [
    'shim 20 1 3',
    'child 21 1 900000000 -',
    status === null ? '' : `exit ${status} ${AT * 1000} adopted`,
    passedMs === null ? '' : `told 15 ${(AT - passedMs) * 1000} ${seconds}`,
  ]
  return parseRecord(lines.map((line) => `${line.padEnd(127)}\n`).join(''))
}
function ended(status: number, fenced = false): RawExit {
  return { kind: 'status', status, at: AT, atMicros: AT * 1000, ...(fenced && { fenced }) }
}
function judge(rank: ForkRecord, more: Partial<Surroundings> = {}, oom: boolean | null = null) {
  const surroundings = { killedAt: null, root: ended(1 << 8), now: AT + 100, over: false, ...more }
  return lostExit(rank, AT, () => oom, surroundings)
}
const unknown = expect.objectContaining({
  signal: null,
  code: null,
  killedBy: null,
  unknown: expect.stringContaining('shim'),
})
function byTorchrun(afterMs: number) {
  return {
    code: null,
    signal: 'SIGKILL',
    oom: false,
    unknown: null,
    killedBy: { by: 'launcher', name: 'torchrun', afterMs },
  }
}

test.each([
  ['at its time', 60_020, 60, 60_000],
  ['late, since other ranks came first', 63_000, 60, 60_000],
  ['after torch’s own 30 s, since it does not read the variable', 30_050, 120, 30_000],
  ['at once, asked for', 10, 0, 0],
])('killed %s: by torchrun, and after which time', (_, passed, seconds, afterMs) => {
  expect(judge(record(passed, seconds))).toEqual(byTorchrun(afterMs))
})

test.each([
  ['torchrun had not told it to end', record(null), {}],
  ['torchrun had told it, and its time was not over', record(4000), {}],
  ['long after torchrun’s time', record(80_000), {}],
  ['torchrun was killed as well', record(60_000), { root: ended(9) }],
])('a SIGKILL that somebody else may have sent is no word about torchrun: %s', (_, rank, more) => {
  expect(judge(rank, more)).toEqual(unknown)
})

test('we had begun to kill the tree, or its fence had run out: SIGKILL, and not torchrun’s', () => {
  const ours = { code: null, signal: 'SIGKILL', oom: false, unknown: null, killedBy: null }
  expect(judge(record(60_000), { killedAt: AT - 5 })).toEqual(ours)
  expect(judge(record(null), { root: ended(9, true) })).toEqual(ours)
  expect(judge(record(60_000), { killedAt: AT + 5 })).toEqual(byTorchrun(60_000))
})

test('killed for want of memory, with its shim: that is known, and torchrun is not named', () => {
  expect(judge(record(null), {}, true)).toMatchObject({ signal: 'SIGKILL', oom: true, killedBy: null })
  expect(judge(record(4000), {}, true)).toMatchObject({ signal: 'SIGKILL', oom: true, killedBy: null })
})

test('it ended by itself just after its shim had gone: that exit stands', () => {
  expect(judge(record(60_000, 60, 0))).toMatchObject({ code: 0, signal: null, killedBy: null })
  expect(judge(record(null, 60, 11))).toMatchObject({ signal: 'SIGSEGV', killedBy: null })
})

test('nothing is said while torchrun’s own end may still be told, and a second is the bound', () => {
  expect(judge(record(60_000), { root: null })).toBeNull()
  expect(judge(record(60_000), { root: null, now: AT + 1000 })).toEqual(byTorchrun(60_000))
  expect(judge(record(60_000), { root: null, over: true })).toEqual(byTorchrun(60_000))
})

test('nothing is said while the end of the rank itself may still be told; without it, it is unknown', () => {
  expect(judge(record(60_000, 60, null))).toBeNull()
  expect(judge(record(60_000, 60, null), { now: AT + 1000 })).toEqual(unknown)
  expect(judge(record(60_000, 60, null), { over: true })).toEqual(unknown)
})
