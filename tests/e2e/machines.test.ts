/** A real torchrun over two machines (network namespaces), with no variable set by anybody. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root } from '../support/fleet.ts'
import { startMachines, type Machines } from '../support/netns.ts'
import { BUS_PORT, startSpreadFleet, type SpreadFleet } from '../support/spread-fleet.ts'

let machines: Machines
let fleet: SpreadFleet
beforeAll(async () => {
  machines = await startMachines()
  const head = await machines.add('head', { nets: { lan: ['10.77.0.1/24'] } })
  fleet = await startSpreadFleet(head, '10.77.0.1')
  for (const [i, name] of ['one', 'two'].entries()) {
    const machine = await machines.add(name, {
      nets: { other: [`192.168.7.${i + 11}/24`], lan: [`10.77.0.${i + 11}/24`], six: [`fd78::${i + 11}/64`] },
      // as Debian has it: who asks for the address of the own host name is told loopback
      hosts: { [name]: '127.0.1.1' },
    })
    await fleet.agent(`n-${name}`, machine, { url: `nats://10.77.0.1:${BUS_PORT}` })
  }
})
afterAll(async () => {
  await machines.close()
  await fleet.remove()
})

test.each([
  [
    'the addresses of their links to the bus, though another interface comes first',
    '2x2',
    {},
    /^10\.77\.0\.1[12]$/,
  ],
  ['a network of IPv6 alone, elastic', '1:2x1', { network: { cidr: 'fd78::/64' } }, /^fd78::1[12]$/],
])('the ranks of two machines meet by %s [A-27 A-39 A-40 U-12 FC-15]', async (_, shape, more, address) => {
  const ranks = {
    kind: 'torchrun',
    shape,
    resources: { ports: 1 },
    command: [join(root, 'tests/support/programs/rank.py'), 'exit:0'],
    ...more,
  }
  const input = JSON.stringify({ apiVersion: 'troupe/v1', name: 'meet', cwd: root, roles: { ranks } })
  const ran = await fleet.troupe(['launch', '-q', '-f', '-'], { input })
  expect(ran.code, ran.stderr).toBe(0)
  const run = ran.stdout.trim()
  const waited = await fleet.troupe(['wait', run, '--timeout', '90s'], { timeoutMs: 100_000 })
  expect(waited.code, (await fleet.troupe(['logs', run, '--tail', '20'])).stdout).toBe(0)
  const { workers } = await fleet.json(['status', run])
  expect(workers.map(({ node }: { node: string }) => node).toSorted()).toEqual(['n-one', 'n-two'])
  for (const { addr } of workers) expect(addr.replace(/:\d+$/, '').replace(/[[\]]/g, '')).toMatch(address)
})
