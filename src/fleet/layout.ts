/**
 * Where the files of a local fleet are. Keys are under TROUPE_HOME. Everything else is under TROUPE_LOCAL,
 * which must be on a local disk and belong to us alone.
 */
import { createHash } from 'node:crypto'
import { rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import { busDir, ensurePrivateDir, fleetDir, localProblem, nodeDir } from '../system/paths.ts'

/** What a machine keeps of a fleet whose agents run here. */
export interface LocalLayout {
  /** 0700, on a local disk: all of it */
  dir: string
  /** who is alive: one file a process */
  presence: string
  nodes: string
  node(node: string): { dir: string; log: string; spool: string; memory: string; caches: string }
}

/** The same of a fleet's home, and its keys. */
export interface FleetLayout extends LocalLayout {
  home: string
  local: string
  fleet: string
  keys: string
  /** of `up` and `down` */
  upLock: string
  /** what `up` was asked for; its absence tells a watching `up` that `down` came */
  wanted: string
  bus: {
    dir: string
    config: string
    store: string
    log: string
    pidFile: string
    address: string
    /** the server keeps there the accounts that it was told */
    accounts: string
    name: string
  }
  coordinatorLog: string
}

export function localLayoutOf(dir: string): LocalLayout {
  return {
    dir,
    presence: join(dir, 'presence'),
    nodes: join(dir, 'nodes'),
    node(node) {
      const of = nodeDir(dir, node)
      return {
        dir: of,
        log: join(of, 'agent.log'),
        spool: join(of, 'spool'),
        memory: join(of, 'agent.json'),
        caches: join(of, 'caches'),
      }
    },
  }
}

export function layoutOf(home: string, local: string, fleet: string): FleetLayout {
  const dir = fleetDir(local, fleet)
  const bus = busDir(local, fleet)
  return {
    ...localLayoutOf(dir),
    home,
    local,
    fleet,
    keys: join(home, 'keys', fleet),
    upLock: join(dir, 'up-lock'),
    wanted: join(dir, 'wanted.json'),
    bus: {
      dir: bus,
      config: join(bus, 'nats.conf'),
      store: join(bus, 'store'),
      log: join(bus, 'nats.log'),
      pidFile: join(bus, 'nats.pid'),
      address: join(bus, 'address.json'),
      accounts: join(bus, 'accounts'),
      // two TROUPE_LOCALs on one machine do not meet, though their fleets have one name
      name: `troupe-${fleet}-${createHash('sha256').update(bus).digest('hex').slice(0, 8)}`,
    },
    coordinatorLog: join(dir, 'coordinator.log'),
  }
}

/**
 * Make the directories that everything else is made in.
 *
 * @throws {Fault} SETUP when TROUPE_LOCAL is on a network file system, somebody else's, or cannot be written
 */
export async function prepareLocal(dir: string): Promise<void> {
  const local = dirname(dir)
  const problem = localProblem(local)
  if (problem !== null) throw new Fault('SETUP', problem, { retryable: false })
  const cannot = (path: string) => (error: unknown) => {
    throw new Fault('SETUP', `'${path}' cannot hold a fleet: ${(error as Error).message}`, {
      hint: 'make it writable, or set TROUPE_LOCAL',
      cause: error,
    })
  }
  for (const path of [local, dir]) await ensurePrivateDir(path).catch(cannot(path))
  const probe = join(dir, `.probe-${process.pid}`)
  await writeFile(probe, 'writable')
    .catch(cannot(dir))
    .finally(() => rm(probe, { force: true }).catch(() => undefined))
}
