/** `failFast: false`: no torchrun is left that waits, in torch's barrier, for a peer that is gone. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { torchrun } from '../../../../support/coordinator/roles.ts'

function gang(shape = '2x2') {
  const c = coordinatorWith({ n0: {}, n1: {}, n2: {} })
  return { c, run: c.launch({ roles: { t: torchrun(shape, { failFast: false }) } }) }
}
const OVER = [rankOf(0, { code: 0 }), rankOf(1, { code: 0 })]

test.each([
  ['its torchrun was killed', { signal: 'SIGKILL' }, {}, 137],
  [
    'a rank of it failed',
    { code: 1 },
    { ranks: [rankOf(2, { code: 7 }), rankOf(3, { signal: 'SIGTERM' })] },
    7,
  ],
])(
  'a peer is gone, %s: the other works on, and is ended when its last rank has ended',
  (_, exit, more, code) => {
    const { c, run } = gang()
    c.exit(run, 't/1', exit, more)
    c.advance(60_000)
    expect(c.worker(run, 't/0').state).toBe('running')
    c.report(run, 't/0', { ranks: [OVER[0]!, rankOf(1, null)] })
    c.advance(60_000)
    expect(c.worker(run, 't/0').state).toBe('running')
    c.report(run, 't/0', { ranks: OVER })
    c.advance(2000)
    expect(c.worker(run, 't/0').state).toBe('running')
    c.advance(2000)
    expect(c.worker(run, 't/0')).toMatchObject({
      state: 'exited',
      exit: { killedBy: { by: 'peer', worker: `${run}/t/1` } },
    })
    expect(c.status(run)).toMatchObject({ state: 'failed', code, firstFailure: { worker: `${run}/t/1` } })
  },
)

test('another peer has ranks that run: nobody is ended, for its ranks may need the others', () => {
  const { c, run } = gang('3x2')
  c.exit(run, 't/2', { signal: 'SIGKILL' })
  c.report(run, 't/0', { ranks: OVER })
  c.report(run, 't/1', { ranks: [rankOf(2, { code: 0 }), rankOf(3, null)] })
  c.advance(60_000)
  expect(c.worker(run, 't/0').state).toBe('running')
  c.report(run, 't/1', { ranks: [rankOf(2, { code: 0 }), rankOf(3, { code: 0 })] })
  c.advance(5000)
  expect(c.status(run).state).toBe('failed')
})

test('ranks of its own have not all begun, or no peer is gone: it is left alone', () => {
  const { c, run } = gang()
  c.report(run, 't/0', { ranks: OVER })
  c.advance(60_000)
  expect(c.worker(run, 't/0').state).toBe('running')
  const other = gang()
  other.c.exit(other.run, 't/1', { signal: 'SIGKILL' })
  other.c.report(other.run, 't/0', { ranks: OVER.slice(1) })
  other.c.advance(60_000)
  expect(other.c.worker(other.run, 't/0').state).toBe('running')
})

test('a new leader ends it as well', () => {
  const { c, run } = gang()
  c.exit(run, 't/1', { signal: 'SIGKILL' })
  c.report(run, 't/0', { ranks: OVER })
  c.failover()
  c.advance(10_000)
  expect(c.status(run).state).toBe('failed')
})
