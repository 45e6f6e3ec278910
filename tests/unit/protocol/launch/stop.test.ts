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

test.each([
  ['no time at all', '[INT 1s, TERM 0]', "'TERM 0' gives no time: what follows would come with it"],
  ['no time for the first', '[INT 0s, TERM 9s]', "'INT 0s' gives no time"],
  ['SIGKILL first', '[KILL 1s, TERM 2s]', "'KILL 1s': SIGKILL comes by itself after the last step"],
  ['SIGKILL last', '[TERM 1s, 9 2s]', "'9 2s': SIGKILL comes by itself after the last step"],
  ['SIGSTOP', '[TERM 1s, STOP 2s]', 'SIGSTOP only holds a program, and it cannot end'],
  ['SIGSTOP alone', 'STOP', 'SIGSTOP only holds a program, and it cannot end'],
  ['numbers without times', '[10, 12]', "'10' is no step of a stop; write 'INT 10s'"],
  [
    'a step without its list',
    'INT 10s',
    "'INT 10s' is no signal; write TERM, INT, USR1…, or a list: [INT 10s]",
  ],
  ['an empty list', '[]', 'a stop needs a signal'],
  ['six', '[INT 1s, INT 1s, INT 1s, INT 1s, INT 1s, INT 1s]', '6 signals; a stop has at most 5'],
  ['a mapping', '{ INT: 10s }', '{"INT":"10s"} is no text or number or list'],
  ['a list of mappings', '[{ INT: 10s }]', '{"INT":"10s"} is no text or number'],
  ['zero', '0', "'0' is no signal"],
  ['beyond the last', '65', "'65' is no signal"],
  ['a fraction', '1.5', "'1.5' is no signal"],
])('the signals of a stop: %s is refused', (_, signal, message) => {
  expect(refusal(task(`stop: { signal: ${signal} }`)).message).toContain(message)
})

test.each([
  ['10', 'SIGUSR1'],
  ['"10"', 'SIGUSR1'],
  ['usr1', 'SIGUSR1'],
  ['RTMAX-1', 'SIGRTMIN+29'],
  ['KILL', 'SIGKILL'],
])('the signal of a stop may be written %s', (signal, name) => {
  expect(
    resolveText(`${head}roles: { a: { command: [x], stop: { signal: ${signal} } } }`).roles[0]!.stop.signal,
  ).toBe(name)
})

test('one signal twice is two steps, for programs that ask for a second Ctrl-C', () => {
  const { stop } = resolveText(`${head}roles: { a: { command: [x], stop: { signal: [INT 1.5s, 2 500ms] } } }`)
    .roles[0]!
  expect(stop).toMatchObject({
    signal: 'SIGINT',
    graceMs: 2000,
    further: [{ signal: 'SIGINT', afterMs: 1500 }],
  })
})

test('a line by which a worker says that it saved is part of its stop', () => {
  const { stop } = resolveText(task('stop: { saved: { log: "^saved" } }')).roles[0]!
  expect(stop).toMatchObject({ signal: 'SIGTERM', saved: { log: '^saved' } })
  expect(resolveText(task('stop: { grace: 5s }')).roles[0]!.stop).not.toHaveProperty('saved')
})

test.each([
  ['no expression', '{ log: "saved (a" }', "'saved (a' is no regular expression (RE2)"],
  ['a look-ahead', '{ log: "saved(?=x)" }', "'saved(?=x)' is no regular expression (RE2)"],
  ['an empty one', '{ log: "" }', 'an empty pattern fits every line at roles.a.stop.saved.log (line 6)'],
  ['too long a one', `{ log: "${'x'.repeat(1001)}" }`, 'a pattern of 1001 characters; at most 1000'],
  ['none', '{}', 'roles.a.stop.saved'],
  ['a text', 'checkpoint saved', 'roles.a.stop.saved'],
  ['an unknown way', '{ log: x, file: x }', "'file'"],
])('how a worker says that it saved: %s is refused', (_, saved, message) => {
  expect(refusal(task(`stop: { saved: ${saved} }`)).message).toContain(message)
})
