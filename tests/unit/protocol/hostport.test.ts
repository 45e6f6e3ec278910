import { expect, test } from 'vitest'
import { formatHostPort, splitHostPort } from '../../../src/protocol/hostport.ts'

test('an IPv6 address and a port are written with brackets and read back, a zone too [A-39 FC-15]', () => {
  for (const [host, text] of [
    ['10.0.0.1', '10.0.0.1:80'],
    ['node-3.lan', 'node-3.lan:80'],
    ['::1', '[::1]:80'],
    ['fe80::1%eth0', '[fe80::1%eth0]:80'],
  ] as const) {
    expect(formatHostPort(host, 80)).toBe(text)
    expect(splitHostPort(text)).toEqual({ host, port: 80 })
  }
})

test('text that is no host and port is not read: a bare IPv6 address would lose its last group [A-39]', () => {
  for (const text of [
    '',
    'host',
    'host:',
    ':80',
    '::1:80',
    'host:65536',
    'a b:80',
    '[::1]',
    'host:8x',
    '[nohex]:80',
  ])
    expect(splitHostPort(text), text).toBeNull()
})
