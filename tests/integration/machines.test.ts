/**
 * Agents on machines of their own (network namespaces), and the bus on another: which address each one's
 * peers are told, by what its link to the bus is.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run, task, until } from '../support/fleet.ts'
import { startMachines, type Machine, type Machines } from '../support/netns.ts'
import { BUS_PORT, startSpreadFleet, type SpreadFleet } from '../support/spread-fleet.ts'

let machines: Machines
let fleet: SpreadFleet
let two: Machine
beforeAll(async () => {
  machines = await startMachines()
  const head = await machines.add('head', {
    nets: { lan: ['10.77.0.1/24', 'fd77::1/64'], fast: ['10.78.0.1/24'] },
  })
  two = await machines.add('two.lan', {
    nets: { lan: ['10.77.0.11/24'], fast: ['10.78.0.11/24'] },
    route: '10.77.0.1',
    hosts: { bus: '10.78.0.1' },
  })
  const six = await machines.add('six', { nets: { lan: ['fd77::12/64'] } })
  fleet = await startSpreadFleet(head, '[::]')
  await fleet.agent('a', two, { url: `nats://bus:${BUS_PORT}` })
  await fleet.agent('b', six, { url: `nats://[fd77::1]:${BUS_PORT}` })
})
afterAll(async () => {
  await machines.close()
  await fleet.remove()
})

/** What a worker sees of its own address; `on` is a node or a host. */
async function seen(on: string, role: object = {}): Promise<string> {
  const document = task('seen', ['sh', '-c', 'echo $TROUPE_ADDR_MAIN $GLOO_SOCKET_IFNAME'], {
    nodelist: [on],
    resources: { ports: 1 },
    ...role,
  })
  const ran = await fleet.troupe(['run', '-f', '-'], { input: document })
  expect(ran.code, ran.stderr).toBe(0)
  return ran.stdout.trim()
}
async function nodeOf(name: string): Promise<{ address: string; reason: string | null }> {
  return (await fleet.json<any[]>(['nodes'])).find(({ node }) => node === name)
}

test('of two interfaces that to the bus is taken, not the default route’s; `network` takes the other; a host is named short [A-40 +A27 +R11]', async () => {
  expect(await seen('two')).toMatch(/^10\.78\.0\.11:\d+ eth1$/)
  expect(await seen('two', { network: { cidr: '10.77.0.0/16' } })).toMatch(/^10\.77\.0\.11:\d+ eth0$/)
})

test('IPv6 alone, and no default route: its address is in brackets beside a port [A-39 FC-15]', async () => {
  expect(await seen('six')).toMatch(/^\[fd77::12\]:\d+ eth0$/)
})

test('a network that no node has: refused, with the nodes, their hosts and their interfaces [A-40]', async () => {
  const input = task('nowhere', ['true'], { network: { cidr: '10.99.0.0/16' } })
  const ran = await fleet.troupe(['launch', '-f', '-'], { input })
  expect(ran.code).toBe(2)
  expect(ran.stderr).toContain('role main asks for an address in 10.99.0.0/16: a (host two.lan) has')
  expect(ran.stderr).toContain('eth1 (10.78.0.11)')
})

test('its address becomes another one: its link is a new one, and so is what peers are told [A-40]', async () => {
  await two.ip('addr', 'del', '10.78.0.11/24', 'dev', 'eth1')
  await two.ip('addr', 'add', '10.78.0.21/24', 'dev', 'eth1')
  await until('the node has it', async () => (await nodeOf('a')).address === '10.78.0.21', 40_000)
  expect(await seen('two.lan')).toMatch(/^10\.78\.0\.21:\d+ eth1$/)
})

test('a port-forward without a default route: the node says that nobody elsewhere reaches it, and with --address it has one [A-40]', async () => {
  const far = await machines.add('far', { nets: { lan: ['10.77.0.13/24'] } })
  fleet.start(far, [process.execPath, '-e', FORWARD])
  const url = `nats://127.0.0.1:${BUS_PORT}`
  const agent = await fleet.agent('c', far, { url })
  expect(await nodeOf('c')).toMatchObject({
    address: '127.0.0.1',
    reason: expect.stringContaining('start its agent with --address'),
  })
  agent.kill()
  await until('it has left', async () => (await nodeOf('c')).reason?.includes('told to end'))
  await fleet.agent('c', far, { url, args: ['--address', '10.77.0.0/16'] })
  expect(await nodeOf('c')).toMatchObject({ address: '10.77.0.13', reason: null })
})

test('machines of a test run that was killed are swept by the next one, with what runs there', async () => {
  const name = 'troupe-4194305-1-left' // beyond the largest pid
  expect((await run('ip', ['netns', 'add', name])).code).toBe(0)
  const sleeper = spawn('ip', ['netns', 'exec', name, 'sleep', '1000'])
  const ended = once(sleeper, 'exit')
  await until('it runs there', async () => (await run('ip', ['netns', 'pids', name])).stdout.trim() !== '')
  const others = await startMachines()
  await others.close()
  expect(await ended).toEqual([null, 'SIGKILL'])
  expect((await run('ip', ['netns', 'list'])).stdout).not.toContain(name)
})

/** As `ssh -L` does it. */
const FORWARD = `
const net = require('node:net')
net.createServer((near) => {
  const far = net.connect(${BUS_PORT}, '10.77.0.1')
  near.pipe(far).pipe(near)
  near.on('error', () => far.destroy())
  far.on('error', () => near.destroy())
}).listen(${BUS_PORT}, '127.0.0.1')
`
