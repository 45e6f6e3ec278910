import { expect, test } from 'vitest'
import {
  addressIn,
  inBlock,
  interfaceOf,
  interfacesText,
  isLoopback,
  plainAddress,
} from '../../../src/protocol/addresses.ts'

const interfaces = { lo: ['127.0.0.1', '::1'], eth0: ['fd00::5', '10.0.0.5'] }

test('IPv4 that came over a socket of IPv6 is written as IPv4, and a zone is left out [A-39]', () => {
  expect(['::ffff:10.0.0.1', '::FFFF:10.0.0.1', 'fe80::1%eth0', '10.0.0.1', '::1'].map(plainAddress)).toEqual(
    ['10.0.0.1', '10.0.0.1', 'fe80::1', '10.0.0.1', '::1'],
  )
})

test('all of 127.0.0.0/8, ::1 and localhost are loopback, and nothing else [A-40]', () => {
  expect(['127.0.0.1', '127.1.2.3', '::1', 'localhost'].every(isLoopback)).toBe(true)
  expect(['128.0.0.1', '::2', '0.0.0.0', 'localhost.example', ''].some(isLoopback)).toBe(false)
})

test.each([
  '10.0.0.0',
  '10.0.0.0/33',
  '10.0.0/8',
  '1.2.3.4.5/8',
  'fd00:::/8',
  'fd00::/129',
  'fe80::%eth0/64',
  'a/8',
  '10.0.0.0/8/8',
  '/',
])('%s is no block [A-40]', (text) => expect(inBlock(text)).toBe(null))

test('the address that is meant is in the block, or the interface’s first of IPv4; else there is none [A-40]', () => {
  expect(addressIn({ cidr: '10.0.0.0/8' }, interfaces)).toBe('10.0.0.5')
  expect(addressIn({ cidr: 'fd00::/8' }, interfaces)).toBe('fd00::5')
  expect(addressIn({ cidr: '10.1.0.0/16' }, interfaces)).toBe(null)
  expect(addressIn({ interface: 'eth0' }, interfaces)).toBe('10.0.0.5')
  expect(addressIn({ interface: 'eth1' }, interfaces)).toBe(null)
  expect(interfaceOf('fd00::5', interfaces)).toBe('eth0')
  expect(interfaceOf('10.0.0.6', interfaces)).toBe(undefined)
})

test('interfaces as text are a line, however many there are', () => {
  expect(interfacesText(interfaces)).toBe('lo (127.0.0.1, ::1), eth0 (fd00::5, 10.0.0.5)')
  expect(interfacesText({})).toBe('none')
  const many = Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`e${i}`, [`10.0.0.${i}`]]))
  expect(interfacesText(many)).toMatch(/e5 \(10\.0\.0\.5\), and 3 more$/)
})
