import { expect, test } from 'vitest'
import { formatHostPort } from '../../../src/protocol/hostport.ts'

test('an IPv6 address and a port are written with brackets, a zone too [A-39 FC-15]', () => {
  expect(['10.0.0.1', 'node-3.lan', '::1', 'fe80::1%eth0'].map((host) => formatHostPort(host, 80))).toEqual([
    '10.0.0.1:80',
    'node-3.lan:80',
    '[::1]:80',
    '[fe80::1%eth0]:80',
  ])
})
