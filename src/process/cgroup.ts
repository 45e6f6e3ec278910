/**
 * A cgroup (v2) for each fork, where this user may make one below the agent's own: the one thing that nothing
 * escapes, with an atomic kill. Nothing rests on it: without it the shim, groups and descendants do the work.
 * No controller is asked for.
 * @see cgroups(7); cgroup.kill needs Linux 5.14
 */
import { createHash } from 'node:crypto'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { isOutOfDescriptors } from '../system/descriptors.ts'

export interface Cgroups {
  /** @returns the new cgroup's directory, or null when it cannot be made just now */
  make(forkId: string): string | null
  /** remove those of forks that are not there any more; one with somebody in it stays */
  sweep(inUse: (forkId: string) => boolean): void
}

/**
 * @param spoolDir  keeps apart the agents of one machine
 * @returns null where cgroups cannot be used: v1 alone, not writable, an old kernel
 */
export function findCgroups(spoolDir: string): Cgroups | null {
  const label = createHash('sha256').update(spoolDir).digest('hex').slice(0, 8)
  const own = ownCgroup()
  if (own === null) return null
  const make = (forkId: string): string | null => {
    const directory = join(own, `troupe.${label}.${forkId}`)
    try {
      mkdirSync(directory)
      return directory
    } catch (error) {
      return (error as NodeJS.ErrnoException).code === 'EEXIST' ? directory : null
    }
  }
  const sweep = (inUse: (forkId: string) => boolean): void => {
    const prefix = `troupe.${label}.`
    for (const name of readdirSync(own))
      if (name.startsWith(prefix) && !inUse(name.slice(prefix.length))) removeCgroup(join(own, name))
  }
  try {
    // moving a process needs the right to write here too, not only below
    accessSync(join(own, 'cgroup.procs'), constants.W_OK)
  } catch {
    return null
  }
  const trial = make(`probe-${process.pid}`)
  if (trial === null) return null
  const usable = existsSync(join(trial, 'cgroup.kill'))
  removeCgroup(trial)
  return usable ? { make, sweep } : null
}

/** The agent's own v2 cgroup, also on machines that mount v1 beside it. */
function ownCgroup(): string | null {
  try {
    const path = /^0::(\/.*)$/m.exec(readFileSync('/proc/self/cgroup', 'latin1'))?.[1]
    // fields: id parent dev ROOT MOUNTPOINT options … - TYPE
    const mount = /^\d+ \d+ \S+ (\S+) (\S+) .* - cgroup2 /m.exec(
      readFileSync('/proc/self/mountinfo', 'latin1'),
    )
    if (path === undefined || mount === null) return null
    const [, root, mountPoint] = mount
    if (root !== '/' && !path.startsWith(root!)) return null
    return join(mountPoint!, root === '/' ? path : path.slice(root!.length))
  } catch {
    return null
  }
}

/** SIGKILL to all in it, atomically. Quiet when the cgroup is gone. */
export function killCgroup(cgroup: string): void {
  try {
    writeFileSync(join(cgroup, 'cgroup.kill'), '1')
  } catch {
    // gone, or being emptied by somebody else
  }
}

/** Pids in it, zombies too; null when it is not there. */
export function pidsOfCgroup(cgroup: string): number[] | null {
  try {
    return readFileSync(join(cgroup, 'cgroup.procs'), 'latin1')
      .split('\n')
      .filter((line) => line !== '')
      .map(Number)
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return null
  }
}

/** OOM kills in it; null where the memory controller is not on. */
export function oomKillsOfCgroup(cgroup: string): number | null {
  try {
    const match = /^oom_kill (\d+)$/m.exec(readFileSync(join(cgroup, 'memory.events'), 'latin1'))
    return match ? Number(match[1]) : null
  } catch {
    return null
  }
}

/** Quiet: a cgroup that is not empty stays, and is removed with the next try. */
export function removeCgroup(cgroup: string): void {
  try {
    rmdirSync(cgroup)
  } catch {
    // see above
  }
}
