/**
 * Who has which GPUs, cores and memory of this node. Owns the arithmetic; a lease ends when its owner says
 * that the process tree is gone, never at the order to stop. Where the GPUs come from is gpus.ts, ports are
 * ports.ts.
 */
import { Fault } from '../protocol/faults.ts'
import type { Resources } from '../protocol/launch/resolved.ts'
import type { Gpu } from '../protocol/shapes.ts'

export interface ResourceLeases {
  /**
   * All or nothing. The same fork id gets the same answer again.
   *
   * @param without  GPUs that other agents of the machine have given away, and the user's name where it is
   * another user; who shares does not mind
   * @returns `gpus` and `cores` in the order of the node; empty for what is not asked for
   * @throws {Fault} GPU_ALLOC with what was asked and what is free
   */
  lease(
    forkId: string,
    resources: Pick<Resources, 'cpus' | 'gpus' | 'memoryBytes' | 'share'>,
    without?: ReadonlyMap<string, string | null>,
  ): { gpus: string[]; cores: number[] }
  /** Take over what a live fork of an earlier agent holds; never refused, since the process is there. */
  adopt(forkId: string, held: { gpus: string[]; cores: number[]; memoryBytes: number }): void
  /** Idempotent. */
  release(forkId: string): void
}

interface Lease {
  gpus: string[]
  cores: number[]
  memoryBytes: number
}

export function createResourceLeases(capacity: {
  gpus: Gpu[]
  cpus: number[]
  memoryBytes: number
}): ResourceLeases {
  const leases = new Map<string, Lease>()
  const usersOf = (gpu: string): number =>
    [...leases.values()].filter((lease) => lease.gpus.includes(gpu)).length

  const takeGpus = (count: number, share: boolean, without: ReadonlyMap<string, string | null>): string[] => {
    const all = capacity.gpus.map(({ id }) => ({ id, users: usersOf(id) }))
    // the sort is stable, so equally used GPUs keep the node's order
    const open = share
      ? all.toSorted((a, b) => a.users - b.users)
      : all.filter(({ id, users }) => users === 0 && !without.has(id))
    if (open.length < count) throw refusal('GPU', count, open.length, all.length, without)
    const taken = new Set(open.slice(0, count).map(({ id }) => id))
    return all.filter(({ id }) => taken.has(id)).map(({ id }) => id)
  }

  const takeCores = (count: number): number[] => {
    const used = new Set([...leases.values()].flatMap((lease) => lease.cores))
    const free = capacity.cpus.filter((core) => !used.has(core))
    if (free.length < count) throw refusal('core', count, free.length, capacity.cpus.length)
    return free.slice(0, count)
  }

  const takeMemory = (bytes: number): number => {
    const used = [...leases.values()].reduce((sum, lease) => sum + lease.memoryBytes, 0)
    if (bytes > 0 && bytes > capacity.memoryBytes - used)
      throw refusal('byte of memory', bytes, Math.max(0, capacity.memoryBytes - used), capacity.memoryBytes)
    return bytes
  }

  return {
    lease(forkId, resources, without = NONE) {
      let lease = leases.get(forkId)
      if (lease === undefined) {
        lease = {
          gpus: takeGpus(resources.gpus, resources.share, without),
          cores: takeCores(resources.cpus),
          memoryBytes: takeMemory(resources.memoryBytes),
        }
        leases.set(forkId, lease)
      }
      return { gpus: [...lease.gpus], cores: [...lease.cores] }
    },
    adopt: (forkId, held) =>
      void leases.set(forkId, {
        gpus: [...held.gpus],
        cores: [...held.cores],
        memoryBytes: held.memoryBytes,
      }),
    release: (forkId) => void leases.delete(forkId),
  }
}

const NONE: ReadonlyMap<string, string | null> = new Map()

/** @param elsewhere  those of the node that are leased by others of the machine */
function refusal(what: string, asked: number, free: number, total: number, elsewhere = NONE): Fault {
  return new Fault(
    'GPU_ALLOC',
    `${amount(what, asked)} asked for, ${free} of ${total} free on this node${byWhom(elsewhere)}`,
    { data: { what, asked, free, total, elsewhere: elsewhere.size } },
  )
}

function byWhom(elsewhere: ReadonlyMap<string, string | null>): string {
  if (elsewhere.size === 0) return ''
  const counts = new Map<string, number>()
  for (const user of elsewhere.values()) {
    const who = user === null ? 'other agents of this machine' : `user ${user}`
    counts.set(who, (counts.get(who) ?? 0) + 1)
  }
  return ` (${[...counts].map(([who, count]) => `${count} leased by ${who}`).join(', ')})`
}

function amount(what: string, count: number): string {
  return `${count} ${count === 1 ? what : what.replace(/^\w+/, '$&s')}`
}
