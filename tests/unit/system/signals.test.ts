import { expect, test } from 'vitest'
import { SignalName } from '../../../src/protocol/shapes.ts'
import { signalName, signalNumber } from '../../../src/system/signals.ts'

test('each signal that a process can end by has a name of the protocol, and the standard ones lead back', () => {
  for (let number = 1; number <= 64; number++) {
    const name = signalName(number)
    expect(SignalName.safeParse(name).success).toBe(true)
    if (number !== 32 && number !== 33) expect(signalNumber(name)).toBe(number)
  }
})

test('the name is the one that people know where there are several', () => {
  expect([6, 9, 11, 15, 17, 29, 31].map(signalName)).toEqual([
    'SIGABRT',
    'SIGKILL',
    'SIGSEGV',
    'SIGTERM',
    'SIGCHLD',
    'SIGIO',
    'SIGSYS',
  ])
  expect([34, 36, 64].map(signalName)).toEqual(['SIGRTMIN', 'SIGRTMIN+2', 'SIGRTMIN+30'])
})

test('what is no signal has no number', () => {
  for (const name of ['TERM', 'SIGNOPE', 'SIGRTMIN+31', 'SIGRTMAX+1', '9', ''])
    expect(signalNumber(name)).toBeNull()
  expect(signalNumber('SIGRTMAX-1')).toBe(63)
})
