/**
 * Starts a component of the fleet (coordinator, agent) as a process: in a session of its own, with its log as
 * stdout and stderr and nothing else of the caller's. The pid is the program's own: nothing is wrapped around
 * it.
 */
import { spawn } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readdirSync, readFileSync, renameSync } from 'node:fs'
import { dirname } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import { withExactWords } from '../system/exact-env.ts'
import { readEndSync, sizeOf } from '../system/files.ts'

export interface SpawnedComponent {
  pid: number
  logFile: string
  /** how it ended, when it did */
  ended(): string | null
}

/** @throws {Fault} SETUP when the program cannot be run */
export function spawnComponent(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
  logFile: string,
): SpawnedComponent {
  mkdirSync(dirname(logFile), { recursive: true, mode: 0o700 })
  rotateLog(logFile)
  const log = openSync(logFile, 'a', 0o600)
  let ended: string | null = null
  try {
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: '/',
      env: withExactWords(env),
      detached: true,
      stdio: ['ignore', log, log],
    })
    child.once('error', (error) => (ended = error.message))
    child.once('exit', (code, signal) => (ended = signal ?? `exit ${code}`))
    if (child.pid === undefined) throw new Fault('SETUP', `'${argv.join(' ')}' cannot be started`)
    child.unref()
    return { pid: child.pid, logFile, ended: () => ended }
  } finally {
    closeSync(log)
  }
}

const LOG_BYTES_MAX = 8 * 1024 * 1024

/**
 * A log is kept over many starts, but not for ever: what is above its bound becomes `.1`, and the `.1` before
 * is gone.
 */
export function rotateLog(logFile: string): void {
  const size = sizeOf(logFile)
  if (size > LOG_BYTES_MAX) renameSync(logFile, `${logFile}.1`)
}

/** The last words of a component that ended, for people. */
export function lastWordsOf(logFile: string): string {
  return readEndSync(logFile, 4096).trim().split('\n').slice(-3).join(' | ') || 'it said nothing'
}

/**
 * Close what our caller left open to us above stderr: a lock's descriptor, the pipe of a process
 * substitution. A component that inherited it would hold it for days. Node marks its own descriptors
 * close-on-exec, so one without the mark was inherited.
 */
export function closeInherited(): void {
  const O_CLOEXEC = 0o2000000
  for (const fd of readdirSync('/proc/self/fd').map(Number)) {
    if (fd <= 2) continue
    try {
      const flags = /^flags:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1]
      if (flags !== undefined && (Number.parseInt(flags, 8) & O_CLOEXEC) === 0) closeSync(fd)
    } catch {
      // the descriptor that listed them is closed by now
    }
  }
}
