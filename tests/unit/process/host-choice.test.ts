import { expect, test } from 'vitest'
import { addressSettings, chooseHost, type HostDefaults } from '../../../src/process/host-choice.ts'
import { Fault } from '../../../src/protocol/faults.ts'

const interfaces = {
  lo: ['127.0.0.1', '::1'],
  eth0: ['192.168.1.5'],
  ib0: ['fd00:1::7', '10.4.0.7'],
  eth6: ['2001:db8::9'],
}
function defaults(
  env: Record<string, string> = {},
  routed: string | null = 'ib0',
  link: HostDefaults['link'] = null,
): HostDefaults {
  return { env, link, defaultInterface: () => routed }
}

function refusal(ask: () => unknown): Fault {
  try {
    ask()
  } catch (error) {
    return error as Fault
  }
  throw new Error('was not refused')
}

test('with two network cards the one with the default route is taken, not the first [A-40 FC-15 +A27 +R11]', () => {
  expect(chooseHost(null, interfaces, defaults())).toBe('10.4.0.7')
})

test('TROUPE_HOST and then TROUPE_INTERFACE come before the default route [A-40]', () => {
  expect(chooseHost(null, interfaces, defaults({ TROUPE_HOST: '127.0.0.1', TROUPE_INTERFACE: 'eth0' }))).toBe(
    '127.0.0.1',
  )
  expect(chooseHost(null, interfaces, defaults({ TROUPE_INTERFACE: 'eth0' }))).toBe('192.168.1.5')
})

test('without a default route peers are told loopback, which at least is not somebody else’s network [A-40]', () => {
  expect(chooseHost(null, interfaces, defaults({}, null))).toBe('127.0.0.1')
  expect(chooseHost(null, {}, defaults({}, 'gone0'))).toBe('127.0.0.1')
})

test('a role chooses by interface name or by CIDR of either family, whatever the node’s default is [A-40 A-39]', () => {
  const env = defaults({ TROUPE_HOST: '1.2.3.4' })
  expect(chooseHost({ interface: 'eth0' }, interfaces, env)).toBe('192.168.1.5')
  expect(chooseHost({ interface: 'eth6' }, interfaces, env)).toBe('2001:db8::9')
  expect(chooseHost({ cidr: '10.0.0.0/8' }, interfaces, env)).toBe('10.4.0.7')
  expect(chooseHost({ cidr: 'fd00::/8' }, interfaces, env)).toBe('fd00:1::7')
})

test('on a host with IPv6 alone its address is taken [FC-15 A-39]', () => {
  expect(chooseHost(null, { lo: ['::1'], eth6: ['2001:db8::9'] }, defaults({}, 'eth6'))).toBe('2001:db8::9')
})

test('an interface or a range that is not here is refused with what is here [A-40]', () => {
  for (const network of [{ interface: 'ib7' }, { cidr: '172.16.0.0/12' }]) {
    const fault = refusal(() => chooseHost(network, interfaces, defaults()))
    expect(fault.code).toBe('WORKER_CONFIG')
    expect(fault.message).toContain('eth0 (192.168.1.5)')
    expect(fault.message).toContain(Object.values(network)[0])
  }
  expect(refusal(() => chooseHost({ cidr: '10.0.0.0/33' }, interfaces, defaults())).message).toContain(
    "'10.0.0.0/33'",
  )
  expect(refusal(() => chooseHost({ cidr: 'eth0' }, interfaces, defaults())).message).toContain("'eth0'")
})

test('nobody asked for anything: peers are told this end of the link to the bus, before the default route [A-40 +A27 +R11]', () => {
  const linked = (local: string, server: string): string =>
    chooseHost(null, interfaces, defaults({}, 'ib0', { local, server }))
  expect(linked('192.168.1.5', '192.168.1.1')).toBe('192.168.1.5')
  expect(linked('::ffff:192.168.1.5', '::')).toBe('192.168.1.5')
  expect(linked('2001:db8::9', 'bus.example')).toBe('2001:db8::9')
})

test('a link over loopback is the node’s address where the bus listens on loopback alone [A-40]', () => {
  const linked = (local: string, server: string): string =>
    chooseHost(null, interfaces, defaults({}, 'ib0', { local, server }))
  expect(linked('127.0.0.1', '127.0.0.1')).toBe('127.0.0.1')
  expect(linked('::1', 'localhost')).toBe('::1')
  // a port-forward, or a bus on all addresses of this machine: its default route
  expect(linked('127.0.0.1', '10.9.9.9')).toBe('10.4.0.7')
  expect(linked('::1', '0.0.0.0')).toBe('10.4.0.7')
  // the bus listens on this machine's own
  expect(linked('127.0.0.1', '192.168.1.5')).toBe('192.168.1.5')
})

test('a link by a link-local address says nothing to peers: the default route does [A-39]', () => {
  const link = { local: 'fe80::1%eth0', server: '::' }
  expect(chooseHost(null, interfaces, defaults({}, 'eth6', link))).toBe('2001:db8::9')
})

test('an agent’s own option is an address as it is, an interface, or a block, and wins over the link [A-40]', () => {
  const link = { local: '192.168.1.5', server: '192.168.1.1' }
  const told = (address: string, env = {}): string =>
    chooseHost(null, interfaces, defaults({ ...env, ...addressSettings(address) }, 'eth0', link))
  expect(told('203.0.113.7')).toBe('203.0.113.7')
  expect(told('2001:db8::77')).toBe('2001:db8::77')
  expect(told('ib0')).toBe('10.4.0.7')
  expect(told('fd00::/8', { TROUPE_HOST: '1.2.3.4' })).toBe('fd00:1::7')
  expect(refusal(() => told('ib9')).message).toContain("no interface 'ib9'")
})
