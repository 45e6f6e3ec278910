/** A run with its roles and workers, new or as the log has it. */
import type { Launch } from '../../protocol/launch/resolved.ts'
import type { RoleRecord, RunRecord, WorkerRecord } from '../../protocol/records.ts'
import { stageOf } from './stages.ts'
import type { RoleLive, Run, Worker } from './types.ts'

function waitingRecord(role: string, index: number): WorkerRecord {
  return {
    role,
    index,
    attempt: 0,
    node: null,
    incarnation: null,
    phase: 'waiting',
    ending: null,
    last: null,
  }
}

/** The workers that a launch begins with. */
export function rolesOf(spec: Launch): RoleRecord[] {
  return spec.roles.map(({ name, replicas }) => ({
    role: name,
    wanted: replicas,
    indices: [[0, replicas - 1]],
  }))
}

function* indicesOf(role: RoleRecord | undefined): Generator<number> {
  for (const [first, last] of role?.indices ?? []) for (let index = first; index <= last; index++) yield index
}

export function newRun(
  head: Omit<RunRecord, 'workers'>,
  spec: Launch,
  roles: readonly RoleRecord[],
  recordOf: (role: string, index: number) => WorkerRecord | undefined,
): Run {
  const run: Run = {
    record: { ...head },
    spec,
    roles: [],
    byRole: new Map(),
    workers: [],
    work: new Set(),
    exits: new Set(),
    unwritten: new Set(),
    entry: null,
    wakeAt: Infinity,
    toldState: null,
    toldReason: null,
    told: 0,
    restartRole: null,
    placeReason: null,
    liveWorkers: 0,
    archiving: false,
  }
  for (const roleSpec of spec.roles) {
    const counts = { waiting: 0, placed: 0, prepared: 0, started: 0, ready: 0, exited: 0, ended: 0 }
    const role: RoleLive = {
      run,
      spec: roleSpec,
      workers: [],
      counts,
      dependents: [],
      gangs: new Set(),
      filling: null,
      restart: null,
      launchTries: 0,
      busy: null,
      stop: { pass: 'none', next: -1 },
      rankFailed: null,
      ranksOverAt: null,
    }
    for (const index of indicesOf(roles.find((one) => one.role === roleSpec.name))) {
      const worker = newWorker(
        run,
        role,
        recordOf(roleSpec.name, index) ?? waitingRecord(roleSpec.name, index),
      )
      role.workers.push(worker)
      run.workers.push(worker)
      counts[stageOf(worker)]++
    }
    run.roles.push(role)
    run.byRole.set(roleSpec.name, role)
  }
  for (const role of run.roles)
    for (const { role: on } of role.spec.dependsOn) run.byRole.get(on)?.dependents.push(role)
  return run
}

function newWorker(run: Run, role: RoleLive, record: WorkerRecord): Worker {
  return {
    run,
    role,
    record,
    id: `${run.record.run}/${record.role}/${record.index}`,
    report: null,
    rev: -1,
    gang: null,
    token: null,
    startSent: true,
    startUnsure: true,
    order: null,
    orderedAt: 0,
    retryAt: 0,
    tries: 0,
    killAcked: null,
    graceMs: null,
    spoolLost: false,
    releasable: record.phase === 'ended',
    past: null,
    judged: false,
    everReady: false,
    lostTold: false,
  }
}
