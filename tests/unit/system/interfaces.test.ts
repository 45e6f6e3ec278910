import { expect, test } from 'vitest'
import {
  defaultInterface,
  listInterfaces,
  parseRoutes,
  parseRoutes6,
} from '../../../src/system/interfaces.ts'

function route(...lines: string[]): string {
  return ['Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT', ...lines].join(
    '\n',
  )
}

test('of two default routes the one with the lower metric names the interface, whatever comes first [A-40]', () => {
  const table = route(
    'eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0',
    'wlan0\t00000000\t0101A8C0\t0003\t0\t0\t600\t00000000\t0\t0\t0',
    'ib0\t00000000\t0100000A\t0003\t0\t0\t100\t00000000\t0\t0\t0',
  )
  expect(parseRoutes(table)).toBe('ib0')
})

test('routes that are down or lead to one network are no default routes [A-40]', () => {
  expect(
    parseRoutes(
      route(
        'eth0\t00000000\t0101A8C0\t0002\t0\t0\t0\t00000000\t0\t0\t0',
        'eth1\t0000000A\t00000000\t0001\t0\t0\t0\t000000FF\t0\t0\t0',
      ),
    ),
  ).toBeNull()
  expect(parseRoutes('')).toBeNull()
})

test('on a host with IPv6 alone the IPv6 table names the interface [FC-15 A-39]', () => {
  const table = [
    'fd000000000000000000000000000000 40 00000000000000000000000000000000 00 00000000000000000000000000000000 00000100 00000001 00000000 00000001     eth0',
    '00000000000000000000000000000000 00 00000000000000000000000000000000 00 00000000000000000000000000000000 ffffffff 00000001 00000000 00200200       lo',
    '00000000000000000000000000000000 00 00000000000000000000000000000000 00 fd000000000000000000000000000001 00000400 00000002 00000000 00000003     eth1',
  ].join('\n')
  expect(parseRoutes6(table)).toBe('eth1')
})

test('this machine has a loopback address, and its default interface is one that it lists', () => {
  const interfaces = listInterfaces()
  expect(Object.values(interfaces).flat()).toContain('127.0.0.1')
  expect(
    Object.values(interfaces)
      .flat()
      .some((address) => address.startsWith('fe80')),
  ).toBe(false)
  const found = defaultInterface()
  expect(found === null || found in interfaces).toBe(true)
})
