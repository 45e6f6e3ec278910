/**
 * What this node has to give: cores by affinity and cgroup quota, memory by cgroup limit, GPUs, addresses.
 * Read once per start of the agent, but for the addresses, which come and go; the arithmetic of leases is
 * resource-leases.ts.
 */
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import type { LinkEnds } from '../protocol/host.ts'
import type { NodeCapacity } from '../protocol/shapes.ts'
import { defaultInterface, listInterfaces } from '../system/interfaces.ts'
import { readGpus, readerWith } from './gpus.ts'
import { chooseHost } from './host-choice.ts'

/**
 * @param agentEnv  environment of the agent: scheduler's bindings, PATH, TROUPE_HOST
 * @param version   of Troupe, told with the capacity
 * @param link      to the bus; null: there is none
 * @returns         `cores` are the ids that may be leased, as many as `capacity.cpus`
 * @throws {Fault}  WORKER_CONFIG when TROUPE_INTERFACE means no address
 */
export async function readCapacity(
  agentEnv: Record<string, string>,
  version = 'unknown',
  link: LinkEnds | null = null,
): Promise<{ capacity: NodeCapacity; cores: number[] }> {
  const [cores, memoryBytes, { gpus, trouble }] = await Promise.all([
    readCores(),
    readMemory(),
    readGpus(agentEnv, readerWith(agentEnv)),
  ])
  return {
    capacity: {
      hostname: hostname(),
      cpus: cores.length,
      memoryBytes,
      gpus,
      ...(trouble !== null && { gpuTrouble: trouble }),
      ...readAddresses(agentEnv, link),
      version,
    },
    cores,
  }
}

/**
 * The node's addresses as they are now.
 *
 * @throws {Fault} WORKER_CONFIG when TROUPE_INTERFACE means no address
 */
export function readAddresses(
  env: Record<string, string>,
  link: LinkEnds | null,
): Pick<NodeCapacity, 'host' | 'interfaces'> {
  const interfaces = listInterfaces()
  return { host: chooseHost(null, interfaces, { env, link, defaultInterface }), interfaces }
}

async function readCores(): Promise<number[]> {
  const allowed = parseCpuList(
    /^Cpus_allowed_list:\s*(\S+)/m.exec(await read('/proc/self/status'))?.[1] ?? '0',
  )
  const quotas = await Promise.all(
    (await cgroupDirectories()).map(async (directory) =>
      cpuQuota(
        await read(`${directory}/cpu.max`),
        await read(`${directory}/cpu.cfs_quota_us`),
        await read(`${directory}/cpu.cfs_period_us`),
      ),
    ),
  )
  return allowed.slice(0, Math.max(1, Math.floor(Math.min(allowed.length, ...quotas))))
}

async function readMemory(): Promise<number> {
  const total = Number(/^MemTotal:\s*(\d+) kB/m.exec(await read('/proc/meminfo'))?.[1] ?? 0) * 1024
  const limits = await Promise.all(
    (await cgroupDirectories()).map(async (directory) => [
      await read(`${directory}/memory.max`),
      await read(`${directory}/memory.limit_in_bytes`),
    ]),
  )
  // `max`, an absent file and v1's 2^63 all mean no limit: the smaller one wins
  return Math.min(
    total,
    ...limits
      .flat()
      .map((text) => parseInt(text, 10))
      .filter((bytes) => bytes > 0),
  )
}

/** `0-3,8` */
export function parseCpuList(text: string): number[] {
  return text.split(',').flatMap((part) => {
    const [from, to = from] = part.split('-').map(Number)
    return Array.from({ length: to! - from! + 1 }, (_, i) => from! + i)
  })
}

/** Whole or broken cores by quota; Infinity without one. v2: `MAX PERIOD`; v1: two files, -1 for none. */
export function cpuQuota(max: string, quotaUs: string, periodUs: string): number {
  const [quota, period] =
    max !== '' ? max.trim().split(' ').map(Number) : [Number(quotaUs || -1), Number(periodUs)]
  return quota! > 0 && period! > 0 ? quota! / period! : Infinity
}

/** This process's cgroup directories and all above them, v2 and v1: a limit anywhere up the tree holds. */
async function cgroupDirectories(): Promise<string[]> {
  const directories = new Set<string>()
  for (const line of (await read('/proc/self/cgroup')).split('\n')) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? []
    if (path === undefined || !(controllers === '' || /\b(cpu|memory)\b/.test(controllers!))) continue
    const root = controllers === '' ? '/sys/fs/cgroup' : `/sys/fs/cgroup/${controllers}`
    const parts = path.split('/').filter((part) => part !== '')
    for (let depth = parts.length; depth >= 0; depth--)
      directories.add([root, ...parts.slice(0, depth)].join('/'))
  }
  return [...directories]
}

function read(file: string): Promise<string> {
  return readFile(file, 'utf8').catch(() => '')
}
