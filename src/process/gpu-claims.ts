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

export interface GpuClaims {
  /**
   * Claim for a fork; again, for others of them too. @returns ids that somebody else on this machine holds;
   * those of the fork's that are free are held now
   */
  take(forkId: string, gpus: readonly string[]): Promise<string[]>
  /** descriptors of all that the fork holds, for its shim */
  descriptorsOf(forkId: string): number[]
  /** Take what became free: of a live fork whose shim, which held it, was killed; of one that shares. */
  tend(): void
  /** Idempotent. */
  release(forkId: string): void
  close(): void
}

export function createGpuClaims(gpus: readonly Gpu[]): GpuClaims {
  const uuids = new Map(gpus.flatMap(({ id, uuid }) => (uuid === undefined ? [] : [[id, uuid] as const])))
  const users = new Map<string, ReadonlySet<string>>()
  const sockets = new Map<string, Server>()
  /** two binds of one agent must not take each other for a stranger */
  const binding = new Map<string, Promise<boolean>>()

  const isUsed = (id: string): boolean => [...users.values()].some((ids) => ids.has(id))
  const closeUnused = (): void => {
    for (const [id, socket] of sockets) {
      if (isUsed(id)) continue
      sockets.delete(id)
      socket.close()
    }
  }
  const hold = (id: string): Promise<boolean> => {
    if (!uuids.has(id) || sockets.has(id)) return Promise.resolve(true)
    const begun = binding.get(id)
    if (begun !== undefined) return begun
    const bound = bind(`\0troupe-gpu-${uuids.get(id)!}`)
      .then((socket) => {
        if (socket !== null) sockets.set(id, socket)
        return socket !== null
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
      if (ids.length === 0) return []
      users.set(forkId, new Set(ids))
      closeUnused()
      const held = await Promise.all(ids.map(hold))
      return ids.filter((_, i) => !held[i])
    },
    descriptorsOf: (forkId) =>
      [...(users.get(forkId) ?? [])].flatMap((id) => descriptorOf(sockets.get(id)) ?? []),
    tend() {
      for (const ids of users.values()) for (const id of ids) hold(id).catch(() => {})
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
function descriptorOf(server: Server | undefined): number | undefined {
  const fd = (server as unknown as { _handle?: { fd?: number } } | undefined)?._handle?.fd
  return fd !== undefined && fd >= 0 ? fd : undefined
}
