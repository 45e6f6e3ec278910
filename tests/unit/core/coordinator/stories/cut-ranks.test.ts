/** Ranks that torchrun itself killed: they are no failure of their own, and `explain` says what cut them. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { rankOf } from '../../../../support/coordinator/reports.ts'
import { torchrun } from '../../../../support/coordinator/roles.ts'

function cut(afterMs: number) {
  return rankOf(0, { signal: 'SIGKILL', killedBy: { by: 'launcher', name: 'torchrun', afterMs } }, 2000)
}

test.each([
  [
    'its own shorter time',
    3000,
    /3 s, before the 60 s of stop\.grace were over: its environment has a shorter/,
  ],
  [
    'what torch waits by itself',
    30_000,
    /30 s, before the 60 s of stop\.grace were over: torch before 2\.12 waits no/,
  ],
  ['the whole grace', 70_000, /after its 70 s$/],
])(
  'a rank that torchrun killed after %s: explain names torchrun, the time, and why the grace did not hold',
  (_, afterMs, text) => {
    const c = coordinatorWith({ n0: {} })
    const run = c.launch({ roles: { t: torchrun('1x2', { stop: { grace: '60s' } }) } })
    c.exit(run, 't/0', { code: 1 }, { ranks: [cut(afterMs), rankOf(1, { code: 0 }, 1)] })
    c.advance(1000)
    const { lines } = c.ask('explain', { run }).body
    expect(lines.filter(({ subject }: { subject: string }) => subject.includes(':'))).toEqual([
      {
        subject: `${run}/t:0`,
        text: expect.stringMatching(text),
        next: `troupe logs ${run}/t --rank 0 --tail 50`,
      },
    ])
  },
)

test('its peer failed first, and it did not listen: the peer is the first failure, though torchrun’s kill came without one', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({ roles: { t: torchrun('1x2') } })
  c.exit(run, 't/0', { code: 1 }, { ranks: [cut(30_000), rankOf(1, { code: 7 }, 9000)] })
  c.advance(1000)
  expect(c.status(run)).toMatchObject({ state: 'failed', code: 7, firstFailure: { rank: 1 } })
})
