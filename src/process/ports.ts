/**
 * Leases of ports: unique on the machine among all agents and users, and held bound until just before exec.
 *
 * Two locks make a lease. The claim, an abstract unix socket named after the port, lasts as long as the lease
 * and vanishes with the agent; it keeps other agents away while the worker has not bound yet. Any user can
 * take such names: where only those of others are left, the claim has the user's own name and the hold
 * decides. The hold, TCP and UDP sockets on the port itself, keeps strangers away until `handOver`. The claim
 * is taken first: no agent ever touches a port, not even to try it, that another one has given to its worker
 * (a try would make the worker's own bind fail). A stranger can still win the moment between `handOver` and
 * the worker's bind: that is seen by the worker's exit or probe, not here.
 *
 * get-port cannot serve here: it tries a port by binding and closing it, which is the very try that breaks
 * another agent's worker, and it holds nothing afterwards (docs/adr/0007).
 */
import { createSocket, type Socket } from 'node:dgram'
import { readFileSync } from 'node:fs'
import { createServer, type ListenOptions, type Server } from 'node:net'
import { randomInt } from 'node:crypto'
import { Fault } from '../protocol/faults.ts'
import type { OwnerOf } from './claim-owner.ts'

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
  /** default: every claim is one of ours */
  ownerOf?: OwnerOf
}

/** So many ports whose claim is taken are passed over; then it is asked by whom. */
const DOUBTFUL_MAX = 32

export function createPortLeaser({
  from = 10_000,
  to = 32_767,
  ephemeral = readEphemeralRange(),
  ownerOf = () => Promise.resolve(process.getuid!()),
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
      const doubtful: number[] = []
      const hold = async (port: number, claim: Claim | null): Promise<void> => {
        const held = claim === null ? null : await holdClaimed(port, claim)
        if (held !== null) taken.push(held)
      }
      /** Other users keep none of us from a port by a name alone: the bind decides. */
      const holdDoubtful = async (): Promise<void> => {
        for (const port of doubtful.splice(0))
          if (taken.length < count) await hold(port, await claimAgainst(port, ownerOf))
      }
      // a random start, then on in order: agents that start together do not fight over the same ports
      const start = candidates.length === 0 ? 0 : randomInt(candidates.length)
      try {
        for (let i = 0; i < candidates.length && taken.length < count; i++) {
          const port = candidates[(start + i) % candidates.length]!
          const claim = await claimFree(port)
          if (claim !== null) await hold(port, claim)
          else if (doubtful.push(port) >= DOUBTFUL_MAX) await holdDoubtful()
        }
        await holdDoubtful()
        if (taken.length < count) throw refuse(count, taken.length)
      } catch (error) {
        await Promise.all(taken.map((held) => held.release()))
        throw error instanceof Fault ? error : refuse(count, taken.length, error)
      }
      return leaseOf(taken)
    },
    async adopt(ports) {
      const claims = await Promise.all(
        ports.map(async (port) => ({ port, claim: [await claim(port), await claim(port, OWN)] })),
      )
      return leaseOf(
        claims.map(({ port, claim }) => ({ port, handOver: async () => {}, release: () => closeAll(claim) })),
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
async function holdClaimed(port: number, claim: Claim): Promise<Held | null> {
  const sockets: (Server | Socket)[] = []
  const handOver = async (): Promise<void> => void (await Promise.all(sockets.splice(0).map(close)))
  const release = async (): Promise<void> => void (await Promise.all([handOver(), closeAll(claim)]))
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

/** The sockets that say that a port is leased. */
type Claim = readonly (Server | null)[]

/** Of the agents of one user, for a port whose other name another user has taken. */
const OWN = `.${process.getuid?.()}`

function nameOf(port: number, suffix = ''): string {
  return `troupe-port-${port}${suffix}`
}

/** Abstract names are per network namespace, as ports are, and leave no file. */
async function claim(port: number, suffix = ''): Promise<Server | null> {
  const outcome = await listen({ path: `\0${nameOf(port, suffix)}` })
  return typeof outcome === 'string' ? null : outcome
}

/** @returns null when anybody has either name */
async function claimFree(port: number): Promise<Claim | null> {
  const shared = await claim(port)
  if (shared === null) return null
  const own = await claim(port, OWN)
  await close(own)
  if (own !== null) return [shared]
  await close(shared)
  return null
}

/** @returns null when an agent of this user has the port, or nobody can tell */
async function claimAgainst(port: number, ownerOf: OwnerOf): Promise<Claim | null> {
  const sockets: (Server | null)[] = []
  for (const suffix of [OWN, '']) {
    const socket = await claim(port, suffix)
    sockets.push(socket)
    const owner = socket === null ? await ownerOf(nameOf(port, suffix)) : null
    if (owner !== 'unknown' && owner !== process.getuid!()) continue
    await closeAll(sockets)
    return null
  }
  return sockets
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

async function closeAll(sockets: readonly (Server | Socket | null)[]): Promise<void> {
  await Promise.all(sockets.map(close))
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
