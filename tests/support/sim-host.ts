/**
 * A simulated machine and its ProcessHost: spools, shims and process trees that outlive the agent, on a
 * manual clock. The machine tells every fact to an independent history (`tell`); the checker reads that,
 * never the host. Programs are sim-tree.ts.
 */
import { Fault } from '../../src/protocol/faults.ts'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'
import type { NodeCapacity, Receipt, Saved } from '../../src/protocol/shapes.ts'
import type { HostEvent, Prepared, Recovered, Started } from '../../src/protocol/host.ts'
import type { ProcessHost } from '../../src/process/process-host.ts'
import type { Clock } from '../../src/system/clock.ts'
import type { Random } from './random.ts'
import type { SimProcess } from './sim-process.ts'
import { growTree, programOf, type Program, type SimTree, type TrueExit } from './sim-tree.ts'

export type MachineFact = { forkId: string } & (
  | { what: 'prepared'; gpus: string[]; ports: number[] }
  | { what: 'dropped' | 'tombstone' | 'released' | 'shim-lost' | 'empty' }
  | { what: 'spawned'; pid: number; root: boolean }
  | { what: 'root-exited'; exit: TrueExit; pid: number | null }
  | { what: 'signalled'; signal: string; by: string }
)

export interface SpoolEntry {
  readonly spec: ForkSpec
  readonly program: Program
  readonly prepared: Prepared
  /** a shim was spawned for it, which may not have got to its mkdir yet */
  shimmed: boolean
  /** who won `mkdir started` */
  made: 'shim' | 'abort' | null
  started: (Started & { wallAt: number }) | null
  tree: SimTree | null
  exit: (TrueExit & { exitedAt: number }) | null
  receipt: Omit<Receipt, 'ms'> | null
  notes: Record<string, unknown>
  /** since a stop began: when, and the word of the program that it saved */
  saving: { at: number; saved: Saved | null } | null
  ready: boolean
  released: boolean
  /** monotonic start, for the log that grows */
  startedNow: number | null
  endedNow: number | null
  waiters: (() => void)[]
}

export interface SimMachine {
  readonly node: string
  host(process: SimProcess): ProcessHost
  readonly spools: ReadonlyMap<string, SpoolEntry>
  /** pids of every live process of a fork, whoever knows of it */
  alive(forkId: string): number
  /** the agent process that has the spool's lock */
  readonly owner: SimProcess | null
  now(): number
}

export interface MachineOptions {
  node: string
  clock: Clock
  random: Random
  tell?: (fact: MachineFact) => void
  cpus?: number
  gpus?: number
}

const PORT_MIN = 10_000
/** last lines of stderr of a program that fails; restart patterns are matched against them */
function tailOf(exit: TrueExit): string[] {
  return exit.code === 0 ? [] : [`it ended with ${exit.code ?? exit.signal}`]
}

export function simMachine(options: MachineOptions): SimMachine {
  const { node, clock, random, tell = () => {}, cpus = 8, gpus = 2 } = options
  const spools = new Map<string, SpoolEntry>()
  const tombstones = new Set<string>()
  let owner: { process: SimProcess; fact: (event: HostEvent) => void } | null = null
  let pids = 1000
  let nextPort = PORT_MIN

  const capacity: NodeCapacity = {
    hostname: node,
    cpus,
    memoryBytes: 64e9,
    gpus: Array.from({ length: gpus }, (_, i) => ({ id: String(i), name: 'sim', memoryBytes: 80e9 })),
    host: `host-${node}`,
    interfaces: { eth0: [`host-${node}`] },
    version: 'sim',
  }
  /** leases last until the tree is gone, or the prepare is dropped */
  const leasing = (): SpoolEntry[] =>
    [...spools.values()].filter((spool) => spool.receipt === null && spool.made !== 'abort')
  const tellOwner = (event: HostEvent): void => {
    const current = owner
    if (current !== null)
      clock.after(random.int(1, 8), () => current.process.enter(() => current.fact(event)))
  }

  const lease = (spec: ForkSpec): Prepared => {
    const taken = leasing()
    const usedGpus = new Set(
      taken.flatMap((spool) => (spool.spec.resources.share ? [] : spool.prepared.gpus)),
    )
    const usedCores = new Set(taken.flatMap((spool) => spool.prepared.cores))
    const freeGpus = capacity.gpus
      .map((gpu) => gpu.id)
      .filter((id) => spec.resources.share || !usedGpus.has(id))
    const freeCores = Array.from({ length: cpus }, (_, i) => i).filter((core) => !usedCores.has(core))
    if (freeGpus.length < spec.resources.gpus)
      throw new Fault('GPU_ALLOC', `${spec.resources.gpus} GPUs wanted, ${freeGpus.length} free`)
    if (freeCores.length < spec.resources.cpus)
      throw new Fault('GPU_ALLOC', `${spec.resources.cpus} cores wanted, ${freeCores.length} free`)
    const port = (): number => nextPort++
    return {
      ports: Array.from({ length: spec.resources.ports }, port),
      rendezvousPort: spec.torchrun?.hostsRendezvous ? port() : null,
      gpus: freeGpus.slice(0, spec.resources.gpus),
      cores: freeCores.slice(0, spec.resources.cpus),
      host: capacity.host,
      preparedAt: clock.wall(),
    }
  }

  const settle = (spool: SpoolEntry): void => spool.waiters.splice(0).forEach((run) => run())

  /** what the shim does, whether the agent lives or not */
  const runShim = (forkId: string, spool: SpoolEntry): void =>
    clock.after(random.int(0, 4), () => {
      if (spools.get(forkId) !== spool || spool.made !== null) return settle(spool)
      spool.made = 'shim'
      clock.after(random.int(1, 3) + spool.program.slowMs, () => exec(forkId, spool))
    })
  const exec = (forkId: string, spool: SpoolEntry): void => {
    const { program } = spool
    spool.startedNow = clock.now()
    if (program.exec !== null) {
      spool.started = { pid: null, startedAt: clock.wall(), wallAt: clock.wall() }
      settle(spool)
      ended(forkId, spool, { code: program.exec, signal: null })
      return empty(forkId, spool)
    }
    let root = true
    spool.tree = growTree({
      program,
      clock,
      random,
      pid: () => ++pids,
      onSpawn: (pid) => {
        tell({ what: 'spawned', forkId, pid, root })
        root = false
      },
      onSaved: () => saved(forkId, spool),
      onRootExit: (exit) => ended(forkId, spool, exit),
      onEmpty: () => empty(forkId, spool),
    })
    spool.started = { pid: spool.tree.rootPid, startedAt: clock.wall(), wallAt: clock.wall() }
    if (spool.spec.ready !== null)
      clock.after(program.readyMs, () => {
        if (spool.exit !== null) return
        spool.ready = true
        tellOwner({ what: 'probe', forkId, ready: true, reason: null })
      })
    settle(spool)
  }
  const saved = (forkId: string, { saving }: SpoolEntry): void => {
    if (saving === null || saving.saved !== null) return
    saving.saved = { at: clock.wall(), ms: clock.wall() - saving.at }
    tellOwner({ what: 'saved', forkId, saved: saving.saved })
  }
  const ended = (forkId: string, spool: SpoolEntry, exit: TrueExit): void => {
    tell({ what: 'root-exited', forkId, exit, pid: spool.started?.pid ?? spool.tree?.rootPid ?? null })
    spool.exit = { ...exit, exitedAt: clock.wall() }
    tellOwner({
      what: 'exited',
      forkId,
      exit: { ...exit, oom: false, unknown: null },
      exitedAt: clock.wall(),
      stderrTail: tailOf(exit),
      errorFile: null,
    })
  }
  const empty = (forkId: string, spool: SpoolEntry): void => {
    tell({ what: 'empty', forkId })
    spool.receipt = { outcome: 'gone', survivors: [], reason: null }
    spool.endedNow = clock.now()
    // the same watcher tells both, and `exited` comes first
    const current = owner
    if (current !== null)
      clock.after(random.int(8, 12), () =>
        current.process.enter(() =>
          current.fact({ what: 'empty', forkId, receipt: { outcome: 'gone', survivors: [], reason: null } }),
        ),
      )
  }

  const recovered = (spool: SpoolEntry): Recovered => ({
    spec: spool.spec,
    phase:
      spool.receipt !== null
        ? 'gone'
        : spool.exit !== null
          ? 'exited'
          : spool.started !== null
            ? 'running'
            : spool.made === 'abort'
              ? 'cancelled'
              : 'prepared',
    prepared: spool.prepared,
    started: spool.started && { pid: spool.started.pid, startedAt: spool.started.startedAt },
    exit: spool.exit && {
      code: spool.exit.code,
      signal: spool.exit.signal,
      oom: false,
      unknown: null,
      exitedAt: spool.exit.exitedAt,
    },
    stderrTail: spool.exit === null ? [] : tailOf(spool.exit),
    errorFile: null,
    receipt: spool.receipt && { ...spool.receipt, ms: 0 },
    ranks: [],
    notes: structuredClone(spool.notes),
    logsFinal: null,
    ...(spool.saving !== null && { saved: spool.saving.saved }),
  })

  const hostFor = (process: SimProcess): ProcessHost => {
    let listener: (event: HostEvent) => void = () => {}
    const mine = (): boolean => owner?.process === process
    /**
     * one operation: it takes effect after a while, if the process lives then, and its answer comes a while
     * later
     */
    const operation = <T>(
      label: string,
      run: (resolve: (value: T) => void, reject: (error: unknown) => void) => void,
    ): Promise<T> =>
      new Promise((resolve, reject) => {
        const answer = (settleIt: () => void): void => process.clock.after(random.int(0, 2), settleIt)
        process.clock.after(random.int(0, 3), () => {
          if (!process.effect(`host.${label}`)) return
          if (!mine()) return answer(() => reject(new Fault('LOCKED', 'another process owns the spool')))
          try {
            run(
              (value) => answer(() => resolve(value)),
              (error) => answer(() => reject(error)),
            )
          } catch (error) {
            answer(() => reject(error))
          }
        })
      })
    const known = (forkId: string): SpoolEntry => {
      const spool = spools.get(forkId)
      if (spool === undefined) throw new Fault('WORKER_CREATE', `no spool of ${forkId}`)
      return spool
    }

    return {
      capacity: () => Promise.resolve(structuredClone(capacity)),
      recover: () =>
        new Promise((resolve) => {
          process.clock.after(random.int(1, 20), () => {
            if (!process.effect('host.recover')) return
            const before = owner?.process
            owner = { process, fact: (event) => mine() && listener(event) }
            if (before !== process) before?.kill()
            // a shim that was spawned and is not at its mkdir yet is aborted by the same mkdir; one that
            // passed it is waited for
            const kept = [...spools.values()].filter((spool) => !spool.released)
            for (const spool of kept)
              if (spool.made === null && spool.shimmed) {
                tombstones.add(spool.spec.forkId)
                abort(spool)
              }
            const wait = (): void => {
              if (kept.some((spool) => spool.made === 'shim' && spool.started === null))
                return process.clock.after(2, wait)
              const facts = kept.map(recovered)
              for (const spool of kept)
                if (spool.ready && spool.exit === null)
                  tellOwner({ what: 'probe', forkId: spool.spec.forkId, ready: true, reason: null })
              process.clock.after(1, () => resolve(facts))
            }
            wait()
          })
        }),
      prepare: (forks) =>
        operation('prepare', (resolve) => {
          const made: string[] = []
          try {
            const prepared = forks.map((spec) => {
              if (tombstones.has(spec.forkId)) throw new Fault('CANCELLED', `${spec.forkId} was cancelled`)
              const before = spools.get(spec.forkId)
              if (before !== undefined) {
                if (before.made === 'abort') throw new Fault('CANCELLED', `${spec.forkId} was aborted`)
                return before.prepared
              }
              const leased = lease(spec)
              if (!process.effect(`host.prepare.spool ${spec.forkId}`)) throw new Fault('FAILED', 'dead')
              made.push(spec.forkId)
              spools.set(spec.forkId, {
                spec: structuredClone(spec),
                program: programOf(spec.command, spec.attempt),
                prepared: leased,
                shimmed: false,
                made: null,
                started: null,
                tree: null,
                exit: null,
                receipt: null,
                notes: {},
                saving: null,
                ready: false,
                released: false,
                startedNow: null,
                endedNow: null,
                waiters: [],
              })
              tell({ what: 'prepared', forkId: spec.forkId, gpus: leased.gpus, ports: leased.ports })
              return leased
            })
            resolve(structuredClone(prepared))
          } catch (error) {
            if (process.alive) for (const forkId of made) remove(forkId)
            throw error
          }
        }),
      drop: (forkId) =>
        operation('drop', (resolve) => {
          const spool = spools.get(forkId)
          if (spool?.made === null) {
            abort(spool)
            remove(forkId)
          }
          resolve(undefined)
        }),
      start: (forkId) =>
        operation(`start ${forkId}`, (resolve, reject) => {
          if (tombstones.has(forkId)) throw new Fault('CANCELLED', `${forkId} was cancelled`)
          const spool = known(forkId)
          const settled = (): void =>
            process.enter(() => {
              if (spool.started !== null)
                resolve({ pid: spool.started.pid, startedAt: spool.started.startedAt })
              else if (spool.made === 'shim') spool.waiters.push(settled)
              else
                reject(
                  new Fault(
                    spool.made === 'abort' ? 'CANCELLED' : 'WORKER_CREATE',
                    `${forkId} did not start`,
                  ),
                )
            })
          if (spool.started !== null) return settled()
          spool.waiters.push(settled)
          spool.shimmed = true
          runShim(forkId, spool)
        }),
      cancel: (forkId) =>
        operation(`cancel ${forkId}`, (resolve) => {
          if (!tombstones.has(forkId)) tell({ what: 'tombstone', forkId })
          tombstones.add(forkId)
          const spool = spools.get(forkId)
          if (spool?.made === null) abort(spool)
          resolve(spool === undefined || spool.made === 'abort' || spool.receipt !== null)
        }),
      watchSaved(forkId) {
        if (!process.effect(`host.watchSaved ${forkId}`) || !mine()) return
        const spool = spools.get(forkId)
        if (spool?.spec.stop.saved !== undefined) spool.saving ??= { at: clock.wall(), saved: null }
      },
      signalTree(forkId, signal) {
        if (!process.effect(`host.signal ${forkId} ${signal}`) || !mine()) return
        tell({ what: 'signalled', forkId, signal, by: process.name })
        spools.get(forkId)?.tree?.signal(signal)
      },
      signalRoot(forkId, signal) {
        if (!process.effect(`host.signalRoot ${forkId} ${signal}`) || !mine()) return
        tell({ what: 'signalled', forkId, signal, by: process.name })
        spools.get(forkId)?.tree?.signalRoot(signal)
      },
      signalOne(forkId, signal, to) {
        const nobody = { reached: 0, fatal: [] }
        if (!process.effect(`host.signalOne ${forkId} ${signal}`) || !mine() || to !== 'root') return nobody
        const hit = spools.get(forkId)?.tree?.signalRoot(signal) ?? false
        if (hit) tell({ what: 'signalled', forkId, signal, by: process.name })
        return hit ? { reached: 1, fatal: [] } : nobody
      },
      killTree: (forkId) =>
        operation(`kill ${forkId}`, (resolve) => {
          const spool = spools.get(forkId)
          tell({ what: 'signalled', forkId, signal: 'SIGKILL', by: process.name })
          const round = (): void => {
            // a shim that is about to exec is inside the fixpoint too
            if (spool?.made === 'shim' && spool.started === null) return process.clock.after(2, round)
            if (spool?.tree == null || spool.tree.alive.size === 0) return resolve(undefined)
            if (!process.effect(`host.kill.round ${forkId}`)) return
            spool.tree.signal('SIGKILL')
            process.clock.after(1, round)
          }
          round()
        }),
      preStop: () => new Promise((resolve) => process.clock.after(random.int(1, 50), resolve)),
      renewFences: () => {},
      note: (forkId, notes) =>
        operation(`note ${forkId}`, (resolve) => {
          const spool = spools.get(forkId)
          if (spool !== undefined) spool.notes = structuredClone(notes)
          resolve(undefined)
        }),
      release: (forkId) =>
        operation(`release ${forkId}`, (resolve) => {
          const spool = spools.get(forkId)
          tombstones.add(forkId)
          if (spool !== undefined && (spool.receipt !== null || spool.made === 'abort') && !spool.released) {
            spool.released = true
            tell({ what: 'released', forkId })
          }
          resolve(undefined)
        }),
      measure: (forkId) =>
        Promise.resolve({ processes: spools.get(forkId)?.tree?.alive.size ?? 0, rssBytes: 0 }),
      logDir: (forkId) => `${node}:${forkId}`,
      onEvent: (fn) => void (listener = fn),
      close() {
        if (mine()) owner = null
        return Promise.resolve()
      },
    }
  }

  const abort = (spool: SpoolEntry): void => {
    spool.made = 'abort'
    settle(spool)
  }
  const remove = (forkId: string): void => {
    spools.delete(forkId)
    tell({ what: 'dropped', forkId })
  }

  return {
    node,
    host: hostFor,
    spools,
    alive: (forkId) => spools.get(forkId)?.tree?.alive.size ?? 0,
    get owner() {
      return owner?.process ?? null
    },
    now: () => clock.now(),
  }
}
