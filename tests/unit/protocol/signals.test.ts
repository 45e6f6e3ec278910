import { constants } from 'node:os'
import { expect, test } from 'vitest'
import { SignalName } from '../../../src/protocol/shapes.ts'
import { exitCodeOf, parseSignal, signalName, signalNumber } from '../../../src/protocol/signals.ts'

const NUMBERS = Array.from({ length: 64 }, (_, index) => index + 1)
const RENAMED: Record<string, string> = { SIGIOT: 'SIGABRT', SIGPOLL: 'SIGIO', SIGCLD: 'SIGCHLD' }

test('each of the 64 signals has a name of the wire that leads back to it, and the exit code of a shell', () => {
  for (const number of NUMBERS) {
    const name = signalName(number)
    expect(SignalName.safeParse(name).success).toBe(true)
    expect(signalNumber(name)).toBe(number)
    expect(exitCodeOf({ code: null, signal: name })).toBe(128 + number)
  }
  expect(new Set(NUMBERS.map(signalName)).size).toBe(64)
})

test('the names and numbers are those of this machine', () => {
  for (const [name, number] of Object.entries(constants.signals)) {
    if (name === 'SIGUNUSED') continue
    expect([name, signalNumber(name)]).toEqual([name, number])
    expect(signalName(number)).toBe(RENAMED[name] ?? name)
  }
})

test('real-time signals are counted from SIGRTMIN; the two that the C library keeps are numbers', () => {
  expect([34, 36, 64, 32, 33].map(signalName)).toEqual([
    'SIGRTMIN',
    'SIGRTMIN+2',
    'SIGRTMIN+30',
    'SIG32',
    'SIG33',
  ])
  expect([signalNumber('SIGRTMAX'), signalNumber('SIGRTMAX-1'), signalNumber('SIGRTMAX-30')]).toEqual([
    64, 63, 34,
  ])
})

test('a word that is no signal has no number', () => {
  for (const name of [
    'TERM',
    'SIGNOPE',
    'SIGRTMIN+31',
    'SIGRTMIN-1',
    'SIGRTMAX+1',
    'SIG0',
    'SIG65',
    'SIG',
    '9',
    '',
  ])
    expect([name, signalNumber(name)]).toEqual([name, null])
})

test.each([
  ['TERM', 'SIGTERM'],
  ['sigusr1', 'SIGUSR1'],
  ['9', 'SIGKILL'],
  ['35', 'SIGRTMIN+1'],
  ['RTMIN+1', 'SIGRTMIN+1'],
  ['SIGRTMAX', 'SIGRTMIN+30'],
  ['IOT', 'SIGABRT'],
  ['32', 'SIG32'],
  ['TREM', null],
  ['SIGSIGTERM', null],
  ['0', null],
  ['', null],
])("a person who writes '%s' means %s", (text, name) => expect(parseSignal(text)).toBe(name))

test('an exit by code has that code; an end that nobody knows, or by no known signal, is 125', () => {
  expect(exitCodeOf({ code: 7, signal: null })).toBe(7)
  expect(exitCodeOf({ code: null, signal: null })).toBe(125)
  expect(exitCodeOf({ code: null, signal: 'SIGNOPE' })).toBe(125)
})
