import { expect, test } from 'vitest'
import { head, refusal, resolveText, task } from '../../../support/launch-text.ts'

test('signals with times: the first at once, each further one after the times before it, SIGKILL after all', () => {
  const stop = 'stop: { signal: [INT 10s, TERM 20s, RTMIN+1 500ms], to: tree }'
  expect(resolveText(`${head}roles: { a: { command: [x], ${stop} } }`).roles[0]!.stop).toEqual({
    signal: 'SIGINT',
    graceMs: 30_500,
    further: [
      { signal: 'SIGTERM', afterMs: 10_000 },
      { signal: 'SIGRTMIN+1', afterMs: 30_000 },
    ],
    to: 'tree',
    order: 'reverse',
  })
})

test.each([
  [
    'a time that is none',
    'stop: { signal: [INT 10] }',
    "'INT 10' is no step of a stop; write 'INT 10s' at roles.a.stop.signal (line 6)",
  ],
  [
    'a signal that is none',
    'stop: { signal: [TREM 10s] }',
    "'TREM 10s' is no step of a stop; write 'INT 10s' at roles.a.stop.signal (line 6)",
  ],
  [
    'times and a grace',
    'stop: { signal: [INT 10s], grace: 5s }',
    'signals with times have no grace: the last time is until SIGKILL at roles.a.stop.grace (line 6)',
  ],
])('several signals: %s is refused', (_, stop, message) => {
  expect(refusal(task(stop)).message).toContain(message)
})
