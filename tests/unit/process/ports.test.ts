import { spawn } from 'node:child_process'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { connect, createServer, type ListenOptions, type Server } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { createPortLeaser, type PortLease, type PortLeaser } from '../../../src/process/ports.ts'

/**
 * A few neighbouring ports that nobody else uses, outside the range of agents, for tests that need a small
 * range.
 */
async function rangeOf(count: number): Promise<{ from: number; to: number; ephemeral: null }> {
  for (let tries = 0; tries < 50; tries++) {
    const from = 61_000 + Math.floor(Math.random() * 4000)
    const range = { from, to: from + count - 1, ephemeral: null }
    const free = await createPortLeaser(range)
      .lease(count)
      .catch(() => null)
    if (free !== null) return free.release().then(() => range)
  }
  throw new Error('no free range')
}

const open: { release(): Promise<void> }[] = []
async function leased(leaser: PortLeaser, count: number): Promise<PortLease> {
  const lease = await leaser.lease(count)
  open.push(lease)
  return lease
}
function listening(options: ListenOptions): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.once('error', reject)
    server.listen(options, () => {
      open.push({ release: () => new Promise((done) => server.close(() => done())) })
      resolve(server)
    })
  })
}
afterEach(async () => {
  await Promise.all(open.splice(0).map((one) => one.release()))
})

test('a leased port cannot be bound by a stranger over TCP or UDP, IPv4 or IPv6, until it is handed over [A-20 A-15 A-39 +A18]', async () => {
  const lease = await leased(createPortLeaser(), 1)
  const [port] = lease.ports
  const udp = (type: 'udp4' | 'udp6'): Promise<void> =>
    new Promise((resolve, reject) => {
      const socket = createSocket({ type, ipv6Only: type === 'udp6' }).once('error', reject)
      socket.bind({ port, exclusive: true }, () => socket.close(() => resolve()))
    })
  for (const host of ['0.0.0.0', '127.0.0.1', '::', '::1'])
    await expect(listening({ port, host }), host).rejects.toMatchObject({ code: 'EADDRINUSE' })
  for (const type of ['udp4', 'udp6'] as const)
    await expect(udp(type), type).rejects.toMatchObject({ code: 'EADDRINUSE' })
  await lease.handOver()
  await listening({ port, host: '::', ipv6Only: true })
  await listening({ port, host: '0.0.0.0' })
  await udp('udp4')
})

test('a port that was handed over can be bound at once, although somebody had connected to it while it was held [A-20 +A18]', async () => {
  const lease = await leased(createPortLeaser(), 1)
  const client = connect({ port: lease.ports[0]!, host: '127.0.0.1' })
  client.on('error', () => {})
  await new Promise((resolve) => client.on('close', resolve))
  await lease.handOver()
  // without SO_REUSEADDR, as many servers bind: TIME_WAIT would refuse it
  const child = spawn('python3', [
    '-c',
    `import socket; s = socket.socket(); s.bind(("0.0.0.0", ${lease.ports[0]})); print("bound")`,
  ])
  const [code] = (await once(child, 'exit')) as [number]
  expect(code).toBe(0)
})

test('two agents of one machine never lease the same port, also after the worker was given it and has not bound it yet [A-20 K-26 +K4 +R1]', async () => {
  const range = await rangeOf(4)
  const [mine, theirs] = [createPortLeaser(range), createPortLeaser(range)]
  const a = await leased(mine, 2)
  await a.handOver()
  const b = await leased(theirs, 2)
  expect(a.ports.filter((port) => b.ports.includes(port))).toEqual([])
  await expect(theirs.lease(1)).rejects.toMatchObject({ code: 'PORT_ALLOC' })
})

test('an agent in another process keeps its claim on a port, and it ends with that process [A-20 +R1]', async () => {
  const range = await rangeOf(1)
  const { from } = range
  const other = spawn(process.execPath, [
    '-e',
    `require('node:net').createServer().listen({ path: '\\0troupe-port-${from}' }, () => console.log('claimed')); process.stdin.resume()`,
  ])
  await once(other.stdout, 'data')
  const leaser = createPortLeaser(range)
  await expect(leaser.lease(1)).rejects.toMatchObject({ code: 'PORT_ALLOC' })
  other.kill('SIGKILL')
  await once(other, 'exit')
  expect((await leased(leaser, 1)).ports).toEqual([from])
})

test('a stranger that has bound a port in the range, on one family or over UDP, makes the lease move on to another [A-20 A-21 FC-9]', async () => {
  const range = await rangeOf(4)
  await listening({ port: range.from, host: '127.0.0.1' })
  await listening({ port: range.from + 1, host: '::1' })
  const udp = createSocket('udp4')
  await new Promise<void>((resolve) => udp.bind(range.from + 2, '127.0.0.1', resolve))
  open.push({ release: () => new Promise((done) => udp.close(() => done())) })
  expect((await leased(createPortLeaser(range), 1)).ports).toEqual([range.to])
})

test('a stranger that wins the moment after the hand-over is not given to anybody else by us: the next lease is another port [FC-9 A-20]', async () => {
  const range = await rangeOf(2)
  const leaser = createPortLeaser(range)
  const lost = await leased(leaser, 1)
  await lost.handOver()
  await listening({ port: lost.ports[0]!, host: '0.0.0.0' })
  await lost.release()
  const next = await leased(leaser, 1)
  expect(next.ports).not.toEqual(lost.ports)
})

test('a lease is all or nothing: too many ports are refused with counts and range, and none stays held [A-20 A-18]', async () => {
  const range = await rangeOf(3)
  const leaser = createPortLeaser(range)
  const error = await leaser.lease(4).catch((e: unknown) => e)
  expect(error).toMatchObject({
    code: 'PORT_ALLOC',
    data: { asked: 4, free: 3, from: range.from, to: range.to },
  })
  expect((error as Error).message).toContain(`4 ports asked for, 3 free in ${range.from}–${range.to}`)
  expect((await leased(leaser, 3)).ports.length).toBe(3)
})

test('released ports are leased again, and releasing twice harms nobody [A-15 A-20 +A18]', async () => {
  const range = await rangeOf(1)
  const leaser = createPortLeaser(range)
  const first = await leased(leaser, 1)
  await first.release()
  const second = await leased(leaser, 1)
  await first.release()
  await expect(leaser.lease(1)).rejects.toMatchObject({ code: 'PORT_ALLOC' })
  expect(second.ports).toEqual(first.ports)
})

test('ports that the kernel gives to outgoing connections are not leased, unless it has made them all so [A-20 +R1]', async () => {
  const { from, to } = await rangeOf(4)
  const lease = await leased(createPortLeaser({ from, to, ephemeral: [from, to - 1] }), 1)
  expect(lease.ports).toEqual([to])
  await expect(createPortLeaser({ from, to, ephemeral: [from, to - 1] }).lease(1)).rejects.toThrow(
    '(3 of them ephemeral, which are not leased)',
  )
  expect((await leased(createPortLeaser({ from, to, ephemeral: [1024, 65_535] }), 3)).ports).not.toContain(to)
})

test('a port outside the default range is never leased [A-20]', async () => {
  for (const port of (await leased(createPortLeaser(), 20)).ports) {
    expect(port).toBeGreaterThanOrEqual(10_000)
    expect(port).toBeLessThanOrEqual(32_767)
  }
})

test('after a restart the agent claims the ports of its live workers again, without binding them [A-20 A-32]', async () => {
  const range = await rangeOf(1)
  await listening({ port: range.from, host: '0.0.0.0' })
  const leaser = createPortLeaser(range)
  const adopted = await leaser.adopt([range.from])
  open.push(adopted)
  expect(adopted.ports).toEqual([range.from])
  await adopted.handOver()
  await Promise.all(open.splice(0, 1).map((one) => one.release()))
  await expect(createPortLeaser(range).lease(1)).rejects.toMatchObject({ code: 'PORT_ALLOC' })
  await adopted.release()
  expect((await leased(leaser, 1)).ports).toEqual([range.from])
})

test('64 leases at the same time get 128 different ports [A-20 A-44]', async () => {
  const leaser = createPortLeaser()
  const leases = await Promise.all(Array.from({ length: 64 }, () => leased(leaser, 2)))
  expect(new Set(leases.flatMap((lease) => lease.ports)).size).toBe(128)
})

test('no ports asked for is a lease of none', async () => {
  expect((await leased(createPortLeaser({ from: 1, to: 0 }), 0)).ports).toEqual([])
})

test('another user has bound every name: a lease is given by the bind, and two agents of ours still never lease the same port', async () => {
  const range = await rangeOf(40)
  const stranger = {
    ...range,
    ownerOf: async (name: string) => (name.includes('.') ? process.getuid!() : null),
  }
  for (let port = range.from; port <= range.to; port++) await listening({ path: `\0troupe-port-${port}` })
  await expect(createPortLeaser(range).lease(1)).rejects.toMatchObject({ code: 'PORT_ALLOC' })
  const [mine, theirs] = [createPortLeaser(stranger), createPortLeaser(stranger)]
  const a = await leased(mine, 20)
  await a.handOver()
  const b = await leased(theirs, 20)
  expect(new Set([...a.ports, ...b.ports]).size).toBe(40)
  await expect(mine.lease(1)).rejects.toMatchObject({ code: 'PORT_ALLOC' })
})

test('another user has bound the name of our own agents too: the port is leased all the same', async () => {
  const range = await rangeOf(1)
  await listening({ path: `\0troupe-port-${range.from}` })
  await listening({ path: `\0troupe-port-${range.from}.${process.getuid!()}` })
  expect((await leased(createPortLeaser({ ...range, ownerOf: async () => 65_534 }), 1)).ports).toEqual([
    range.from,
  ])
  await expect(createPortLeaser({ ...range, ownerOf: async () => 'unknown' }).lease(1)).rejects.toMatchObject(
    {
      code: 'PORT_ALLOC',
    },
  )
})
