/**
 * Leases of ports: unique on the machine among all agents and users, and held bound until just before exec.
 *
 * Two locks make a lease. The claim, an abstract unix socket named after the port, lasts as long as the lease
 * and vanishes with the agent; it keeps other agents away while the worker has not bound yet. The hold, TCP
 * and UDP sockets on the port itself, keeps strangers away until `handOver`. The claim is taken first: no
 * agent ever touches a port, not even to try it, that another one has given to its worker (a try would make
 * the worker's own bind fail). A stranger can still win the moment between `handOver` and the worker's bind:
 * that is seen by the worker's exit or probe, not here.
 *
 * get-port cannot serve here: it tries a port by binding and closing it, which is the very try that breaks
 * another agent's worker, and it holds nothing afterwards (docs/adr/0007).
 */
import { createSocket, type Socket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer, type ListenOptions, type Server } from 'node:net'
import { randomInt } from 'node:crypto'
import { Fault } from '../protocol/faults.ts'

export interface PortLease {
  readonly ports: number[]
  /** Unbind, just before exec; the claims stay. Resolves when the ports can be bound. */
  handOver(): Promise<void>
  /** Give everything up. Idempotent. */
  release(): Promise<void>
}

export interface PortLeaser {
  /** @throws {Fault} PORT_ALLOC when the range has not `count` free ports; then none is held */
  lease(count: number): Promise<PortLease>
  /** Claim the ports of a live worker again after the agent died. Never refused: the worker has them. */
  adopt(ports: number[]): Promise<PortLease>
}

export interface PortLeaserOptions {
  /** first and last port of the range */
  from?: number
  to?: number
  /** ports that the kernel gives to outgoing connections, which are skipped; default: what it says itself */
  ephemeral?: readonly [number, number] | null
}

export function createPortLeaser({
  from = 10_000,
  to = 32_767,
  ephemeral = readEphemeralRange(),
}: PortLeaserOptions = {}): PortLeaser {
  const all = Array.from({ length: Math.max(0, to - from + 1) }, (_, i) => from + i)
  const lasting = all.filter((port) => ephemeral === null || port < ephemeral[0] || port > ephemeral[1])
  // some machines make every port ephemeral: one that an outgoing connection could win is better than none
  const candidates = lasting.length > 0 ? lasting : all

  const refuse = (count: number, free: number, cause: unknown = undefined): Fault => {
    const skipped = all.length - candidates.length
    const where = `${from}–${to}${skipped > 0 ? ` (${skipped} of them ephemeral, which are not leased)` : ''}`
    return new Fault(
      'PORT_ALLOC',
      `${count} ports asked for, ${free} free in ${where}${cause instanceof Error ? `: ${cause.message}` : ''}`,
      { data: { asked: count, free, from, to }, cause },
    )
  }

  return {
    async lease(count) {
      const taken: Held[] = []
      // a random start, then on in order: agents that start together do not fight over the same ports
      const start = candidates.length === 0 ? 0 : randomInt(candidates.length)
      try {
        for (let i = 0; i < candidates.length && taken.length < count; i++) {
          const held = await hold(candidates[(start + i) % candidates.length]!)
          if (held !== null) taken.push(held)
        }
        if (taken.length < count) throw refuse(count, taken.length)
      } catch (error) {
        await Promise.all(taken.map((held) => held.release()))
        throw error instanceof Fault ? error : refuse(count, taken.length, error)
      }
      return leaseOf(taken)
    },
    async adopt(ports) {
      const claims = await Promise.all(ports.map(async (port) => ({ port, claim: await claimPort(port) })))
      return leaseOf(
        claims.map(({ port, claim }) => ({ port, handOver: async () => {}, release: () => close(claim) })),
      )
    },
  }
}

interface Held {
  port: number
  handOver(): Promise<void>
  release(): Promise<void>
}

function leaseOf(held: Held[]): PortLease {
  return {
    ports: held.map(({ port }) => port),
    handOver: async () => void (await Promise.all(held.map((one) => one.handOver()))),
    release: async () => void (await Promise.all(held.map((one) => one.release()))),
  }
}

/** @returns null when somebody else has the port */
async function hold(port: number): Promise<Held | null> {
  const claim = await claimPort(port)
  if (claim === null) return null
  const sockets: (Server | Socket)[] = []
  const handOver = async (): Promise<void> => void (await Promise.all(sockets.splice(0).map(close)))
  const release = async (): Promise<void> => void (await Promise.all([handOver(), close(claim)]))
  try {
    for (const bind of [
      () => listen({ port, host: '0.0.0.0' }),
      () => listen({ port, host: '::', ipv6Only: true }),
      () => bindUdp(port, 'udp4'),
      () => bindUdp(port, 'udp6'),
    ]) {
      const outcome = await bind()
      if (outcome === 'taken') {
        await release()
        return null
      }
      if (outcome !== 'no such family') sockets.push(outcome)
    }
  } catch (error) {
    await release()
    throw error
  }
  return { port, handOver, release }
}

type Outcome<T> = T | 'taken' | 'no such family'

/** Abstract names are per network namespace, as ports are, and leave no file. */
async function claimPort(port: number): Promise<Server | null> {
  const outcome = await listen({ path: `\0troupe-port-${port}` })
  return typeof outcome === 'string' ? null : outcome
}

function listen(options: ListenOptions): Promise<Outcome<Server>> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      // with a reset: an orderly close would leave TIME_WAIT on our side, and the worker's bind would fail
      if (options.port === undefined) socket.destroy()
      else socket.resetAndDestroy()
    })
    server.on('error', (error) => settle(error, resolve, reject))
    server.listen({ ...options, exclusive: true }, () => resolve(server.unref()))
  })
}

function bindUdp(port: number, type: 'udp4' | 'udp6'): Promise<Outcome<Socket>> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type, ipv6Only: type === 'udp6' })
    socket.on('error', (error) => settle(error, resolve, reject))
    socket.bind({ port, address: type === 'udp4' ? '0.0.0.0' : '::', exclusive: true }, () =>
      resolve(socket.unref()),
    )
  })
}

function settle(
  error: NodeJS.ErrnoException,
  resolve: (outcome: 'taken' | 'no such family') => void,
  reject: (error: Error) => void,
): void {
  if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve('taken')
  else if (error.code === 'EAFNOSUPPORT' || error.code === 'EADDRNOTAVAIL') resolve('no such family')
  else reject(error)
}

function close(socket: Server | Socket | null): Promise<void> {
  return new Promise((resolve) => {
    if (socket === null) return resolve()
    try {
      socket.close(() => resolve())
    } catch {
      // closed before: release may be called twice
      resolve()
    }
  })
}

function readEphemeralRange(): [number, number] | null {
  try {
    const [low, high] = readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'utf8')
      .trim()
      .split(/\s+/)
      .map(Number)
    return low! > 0 && high! >= low! ? [low!, high!] : null
  } catch {
    return null
  }
}
