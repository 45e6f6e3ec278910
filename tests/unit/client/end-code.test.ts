/** The code of `wait` for a role that went on without some of its workers. */
import { expect, test } from 'vitest'
import { endCode } from '../../../src/client/points.ts'
import { runStatus, worker } from '../../support/fake-fleet.ts'

const KILLED = { code: null, signal: 'SIGKILL', oom: null, unknown: null, killedBy: null }
const ENDED = { code: 0, signal: null, oom: false, unknown: null, killedBy: null }

function shrunk(kind: string) {
  const base = runStatus({ state: 'succeeded', code: 0 })
  const [role] = base.roles
  const of = (index: number, over: object) => ({ ...worker('t', index), state: 'exited' as const, ...over })
  return {
    ...base,
    roles: [{ ...role!, role: 't', kind, workers: 2, ended: 2 }],
    workers: [of(0, { attempt: 2, exit: ENDED }), of(1, { attempt: 1, exit: KILLED })],
  }
}

test('a torchrun role that shrank and ended well: its code is 0, that of the lost worker stays its own', () => {
  const status = shrunk('torchrun')
  expect(endCode(status, { run: status.run, role: 't' })).toBe(0)
  expect(endCode(status, { run: status.run, role: 't', indices: [1] })).toBe(137)
  expect(endCode(status, { run: status.run, role: 't', indices: [0] })).toBe(0)
})

test('workers of other roles start again each for itself: one that was killed counts, whatever the others did', () => {
  const status = shrunk('task')
  expect(endCode(status, { run: status.run, role: 't' })).toBe(137)
})

test('what is left of a torchrun role failed: its code', () => {
  const status = shrunk('torchrun')
  const [first, second] = status.workers
  const failed = { ...status, workers: [{ ...first!, exit: { ...ENDED, code: 7 } }, second!] }
  expect(endCode(failed, { run: status.run, role: 't' })).toBe(7)
})
