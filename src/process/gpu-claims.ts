/**
 * A GPU is leased once on a machine, whoever's agent gives it: the kernel is the arbiter. A claim is an
 * abstract unix socket named after the device's UUID. The agent binds it, and the fork's shim inherits it: so
 * it lasts as long as the tree does, also when the agent is killed, and there is no file to clean. Owns the
 * sockets; which GPUs a fork gets is resource-leases.ts.
 *
 * What cannot be told by a UUID (a binding by number, and no nvidia-smi that knows it) is not claimed: the
 * same number may be another device. Who shares claims too, so that nobody else gets the GPU alone, and is
 * refused by nobody.
 */
import { createServer, type Server } from 'node:net'
import { Fault } from '../protocol/faults.ts'
import type { Gpu } from '../protocol/shapes.ts'
import { userName, type OwnerOf } from './claim-owner.ts'

export interface GpuClaims {
  /**
   * Claim for a fork; again, for others of them too. @returns ids that somebody else on this machine holds,
   * with the user's name where it is another user; those of the fork's that are free are held now
   */
  take(forkId: string, gpus: readonly string[]): Promise<Map<string, string | null>>
  /** descriptors of all that the fork holds, for its shim */
  descriptorsOf(forkId: string): number[]
  /** Take what became free: of a live fork whose shim, which held it, was killed; of one that shares. */
  tend(): void
  /** Idempotent. */
  release(forkId: string): void
  close(): void
}

export interface GpuClaimOptions {
  /** default: every claim is one of ours */
  ownerOf?: OwnerOf
  /** names of users whose claims keep nobody from a GPU, by the word of the fleet's owner */
  ignored?: ReadonlySet<string>
}

type Sockets = readonly (Server | null)[]
/** `by`: another user's name, null for this one's agents */
type Bound = { sockets: Sockets } | { by: string | null }

export function createGpuClaims(gpus: readonly Gpu[], options: GpuClaimOptions = {}): GpuClaims {
  const uuids = new Map(gpus.flatMap(({ id, uuid }) => (uuid === undefined ? [] : [[id, uuid] as const])))
  const users = new Map<string, ReadonlySet<string>>()
  const sockets = new Map<string, Sockets>()
  /** two binds of one agent must not take each other for a stranger */
  const binding = new Map<string, Promise<Bound>>()

  const isUsed = (id: string): boolean => [...users.values()].some((ids) => ids.has(id))
  const closeUnused = (): void => {
    for (const [id, held] of sockets) {
      if (isUsed(id)) continue
      sockets.delete(id)
      for (const socket of held) socket?.close()
    }
  }
  /** @param asks  whether it is asked who is in the way, which is dear */
  const hold = async (id: string, asks: boolean): Promise<Bound> => {
    if (!uuids.has(id) || sockets.has(id)) return { sockets: [] }
    const begun = binding.get(id)
    if (begun !== undefined) return begun
    const bound = bindGpu(`troupe-gpu-${uuids.get(id)!}`, asks ? options : {})
      .then((got) => {
        if ('sockets' in got) sockets.set(id, got.sockets)
        return got
      })
      .finally(() => {
        binding.delete(id)
        closeUnused()
      })
    binding.set(id, bound)
    return bound
  }

  return {
    async take(forkId, ids) {
      if (ids.length === 0) return new Map()
      users.set(forkId, new Set(ids))
      closeUnused()
      const bound = await Promise.all(ids.map((id) => hold(id, true)))
      return new Map(bound.flatMap((got, i) => ('by' in got ? [[ids[i]!, got.by] as const] : [])))
    },
    descriptorsOf: (forkId) =>
      [...(users.get(forkId) ?? [])].flatMap((id) =>
        (sockets.get(id) ?? []).flatMap((socket) => descriptorOf(socket) ?? []),
      ),
    tend() {
      for (const ids of users.values()) for (const id of ids) hold(id, false).catch(() => {})
    },
    release(forkId) {
      users.delete(forkId)
      closeUnused()
    },
    close() {
      users.clear()
      closeUnused()
    },
  }
}

/**
 * Two names: the one that all users share, and one of this user's agents, which another user's claim, where
 * it is ignored, does not take from them.
 */
async function bindGpu(name: string, { ownerOf, ignored }: GpuClaimOptions): Promise<Bound> {
  const me = process.getuid!()
  const sockets: (Server | null)[] = []
  for (const one of [`${name}.${me}`, name]) {
    const socket = await bind(`\0${one}`)
    sockets.push(socket)
    if (socket !== null) continue
    const owner = ownerOf === undefined ? me : await ownerOf(one)
    // nobody listens, or it is the name of this user's agents in another's hands: no lease is known by that
    if (owner === null || (one !== name && owner !== me && owner !== 'unknown')) continue
    const by = owner === me || owner === 'unknown' ? null : await userName(owner)
    if (by !== null && ignored?.has(by) === true) continue
    for (const own of sockets) own?.close()
    return { by }
  }
  return { sockets }
}

/** @returns null when it is taken */
function bind(path: string): Promise<Server | null> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => socket.destroy())
    server.on('error', (error: NodeJS.ErrnoException) =>
      error.code === 'EADDRINUSE'
        ? resolve(null)
        : reject(new Fault('GPU_ALLOC', `no claim on a GPU can be made: ${error.message}`, { cause: error })),
    )
    server.listen({ path, exclusive: true }, () => resolve(server.unref()))
  })
}

/** Node gives a socket to a child by its descriptor, and has no public word for that of a server. */
function descriptorOf(server: Server | null): number | undefined {
  const fd = (server as unknown as { _handle?: { fd?: number } } | null)?._handle?.fd
  return fd !== undefined && fd >= 0 ? fd : undefined
}
