import { expect, test } from 'vitest'
import { refusal, task } from '../../../support/launch-text.ts'

test.each([
  [
    'a restart limit that is never reached, for the window is shorter than the pauses',
    task('restart: { policy: always, max: 5, window: 60s, backoff: [10s, 20s] }'),
    '5 restarts are never counted within a window of 60 s: the pauses between them (backoff 10 s to 20 s) are ' +
      '90 s together. Write a window longer than that, or a smaller max at roles.a.restart.window (line 6)',
  ],
  [
    'a restart limit whose window is as long as the pauses, by the default backoff',
    task('restart: { policy: on-failure, max: 3, window: 7s }'),
    '3 restarts are never counted within a window of 7 s',
  ],
  [
    'more restarts than are counted',
    task('restart: { policy: on-failure, max: 1001, window: 999h }'),
    '1001 is too large; at most 1000 at roles.a.restart.max (line 6)',
  ],
])('%s [A-36]', (_, text, message) => {
  expect(refusal(text).message).toContain(message)
})
