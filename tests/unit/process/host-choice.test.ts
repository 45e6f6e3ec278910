import { expect, test } from 'vitest'
import { chooseHost } from '../../../src/process/host-choice.ts'
import { Fault } from '../../../src/protocol/faults.ts'

const interfaces = {
  lo: ['127.0.0.1', '::1'],
  eth0: ['192.168.1.5'],
  ib0: ['fd00:1::7', '10.4.0.7'],
  eth6: ['2001:db8::9'],
}
function defaults(env: Record<string, string> = {}, defaultInterface: string | null = 'ib0') {
  return { env, defaultInterface }
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
