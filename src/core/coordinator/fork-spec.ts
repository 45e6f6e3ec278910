/** The description of a fork for its agent, and the addresses that it is told with its start. */
import { type Bindings, type ForkSpec, resourcesOf, type Role } from '../../protocol/launch/resolved.ts'
import { hasLeft, isElastic } from './outcome.ts'
import { live } from './stages.ts'
import type { RoleLive, Worker } from './types.ts'
import { currentFork, viewOf } from './worker.ts'

interface Addresses {
  addr: string | null
  addrs: string[]
}

export function addressesOf(role: RoleLive): { own: Addresses; rendezvous: Bindings['rendezvous'] } {
  const first = rendezvousHost(role).report
  return {
    own: rolesAddresses(role),
    rendezvous:
      role.spec.kind === 'torchrun' && first?.host != null && first.rendezvousPort !== null
        ? { host: first.host, port: first.rendezvousPort }
        : null,
  }
}

/** The first worker of a role; of an elastic one, the first that is there. */
export function rendezvousHost({ spec, workers }: RoleLive): Worker {
  return (isElastic(spec) ? workers.find(live) : undefined) ?? workers[0]!
}

/** Workers of an elastic role that are started together. */
function worldOf({ role, record }: Worker): Worker[] {
  return role.workers.filter(
    (other) => other.record.phase !== 'waiting' && other.record.attempt === record.attempt,
  )
}

function rolesAddresses(role: RoleLive): Addresses {
  const present = isElastic(role.spec) ? role.workers.filter((worker) => !hasLeft(worker)) : role.workers
  const addrs = present.map((worker) => viewOf(worker).addr)
  return { addr: addrs[0] ?? null, addrs: addrs.filter((addr) => addr !== null) }
}

/**
 * Beyond so many workers a role's own addresses are told only to a role that names them: each would be told
 * all of them.
 */
const OWN_ADDRS_MAX = 256

/** What only the whole gang knows; the same object for each of its workers. */
export function bindingsOf(role: RoleLive): Bindings {
  const { own, rendezvous } = addressesOf(role)
  const few =
    role.workers.length <= OWN_ADDRS_MAX ||
    JSON.stringify(sharedSpecOf(role)).includes(`roles.${role.spec.name}.addrs`)
  const roles: Bindings['roles'] = { [role.spec.name]: few ? own : { ...own, addrs: [] } }
  for (const { role: on } of role.spec.dependsOn) {
    const other = role.run.byRole.get(on)
    if (other !== undefined) roles[on] = rolesAddresses(other)
  }
  return { roles, rendezvous }
}

type SharedSpec = Omit<
  ForkSpec,
  'forkId' | 'run' | 'role' | 'index' | 'attempt' | 'user' | 'resources' | 'torchrun'
>

const sharedSpecs = new WeakMap<Role, SharedSpec>()

/** What all workers of a role have in common: made once, not for each of thousands. */
function sharedSpecOf({ run, spec }: RoleLive): SharedSpec {
  let shared = sharedSpecs.get(spec)
  if (shared === undefined) {
    const {
      name: _a,
      replicas: _b,
      minReplicas: _c,
      resources: _d,
      dependsOn: _e,
      restart: _f,
      nodelist: _g,
      exclude: _h,
      failFast: _i,
      ...rest
    } = spec
    const { callerEnv, callerShell } = run.spec
    shared = {
      ...rest,
      env: { ...run.spec.env, ...spec.env },
      ...(callerEnv !== undefined && { callerEnv }),
      ...(callerShell !== undefined && { callerShell }),
    }
    sharedSpecs.set(spec, shared)
  }
  return shared
}

export function forkSpecOf(worker: Worker): ForkSpec {
  const { role, record, run } = worker
  const { name, replicas, minReplicas, kind, nproc } = role.spec
  // of an elastic role those that are there, so that nobody waits for others
  const world = kind === 'torchrun' && isElastic(role.spec) ? worldOf(worker) : null
  return {
    ...sharedSpecOf(role),
    forkId: currentFork(worker),
    run: run.record.run,
    role: name,
    index: record.index,
    attempt: record.attempt,
    user: run.record.user,
    resources: resourcesOf(role.spec, record.index),
    torchrun:
      kind === 'torchrun'
        ? {
            nnodes: world === null ? String(replicas) : `${minReplicas}:${world.length}`,
            nodeRank: record.index,
            nproc,
            hostsRendezvous: world === null ? record.index === 0 : world[0] === worker,
          }
        : null,
  }
}
