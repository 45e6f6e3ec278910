/**
 * Starts a fork's shim and waits until its program runs, failed to, or never will. Owns the spawn; the record
 * is read by the observer.
 */
import { spawn } from 'node:child_process'
import { Fault } from '../protocol/faults.ts'
import { readStat, type ProcIdentity } from '../system/proc.ts'
import type { ForkRecord } from './records.ts'

/** An exec on a file system that hangs: the fork then goes on starting, and can be killed. */
const EXEC_MS_MAX = 30_000
/** Where inotify has nothing left to give. */
const LOOK_MS = 50

export interface ShimStart {
  /** argv of the shim, ended by the fork's directory */
  argv: readonly string[]
  env: Record<string, string>
  /** descriptors that it keeps as long as the tree lives: leases of the machine */
  held?: readonly number[]
  /** look at the record now, at the shim too when it is said to have ended */
  look(ended: boolean): ForkRecord
  /** told when the shim has ended, as long as this agent lives */
  onEnd(): void
}

export interface StartWait {
  /** call with each record that is seen */
  seen(record: ForkRecord): void
  /**
   * resolves with the record once the program runs or failed; with a blank one when the shim ended without
   * either
   */
  done: Promise<ForkRecord>
  /** null when it could not be run, or had ended before anybody looked */
  shim: ProcIdentity | null
}

function isSettled(record: ForkRecord): boolean {
  return record.child !== null || record.exit !== null
}

/**
 * @throws {Fault} WORKER_CREATE when the shim cannot be run, or its program not within half a minute (`done`
 * rejects)
 */
export function spawnShim({ argv, env, held = [], look, onEnd }: ShimStart): StartWait {
  // nothing of this agent goes into a worker: no descriptor, no session, no directory. The shim alone keeps
  // what is `held`
  const shim = spawn(argv[0]!, argv.slice(1), {
    detached: true,
    stdio: ['ignore', 'ignore', 'ignore', ...held],
    cwd: '/',
    env: held.length > 0 ? { ...env, TROUPE_HELD: String(held.length) } : env,
  })
  shim.unref()
  const startTime = shim.pid === undefined ? undefined : readStat(shim.pid)?.startTime
  let settle!: (record: ForkRecord) => void
  let refuse!: (fault: Fault) => void
  const done = new Promise<ForkRecord>((resolve, reject) => {
    settle = resolve
    refuse = reject
  })
  const seen = (record: ForkRecord): void => {
    if (isSettled(record)) settle(record)
  }
  const ticking = setInterval(() => seen(look(false)), LOOK_MS)
  const timer = setTimeout(
    () => refuse(new Fault('WORKER_CREATE', `the program was not there after ${EXEC_MS_MAX / 1000} s`)),
    EXEC_MS_MAX,
  )
  const stop = (): void => {
    clearInterval(ticking)
    clearTimeout(timer)
  }
  done.then(stop, stop)
  shim.once('error', (error) =>
    refuse(new Fault('WORKER_CREATE', `the shim cannot be run: ${error.message}`, { cause: error })),
  )
  shim.once('exit', () => {
    settle(look(true))
    onEnd()
  })
  return { seen, done, shim: startTime === undefined ? null : { pid: shim.pid!, startTime } }
}
