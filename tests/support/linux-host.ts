/**
 * A LinuxHost on a spool of its own for tests, with what it told, and the fixture programs. `dispose` ends
 * whatever is left, so that a failed test leaves nothing behind either.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { findCgroups } from '../../src/process/cgroup.ts'
import { MARKER } from '../../src/process/exec-plan.ts'
import type { LinuxHostOptions } from '../../src/process/host-state.ts'
import { createLinuxHost } from '../../src/process/linux-host.ts'
import type { HostEvent } from '../../src/protocol/host.ts'
import type { ProcessHost } from '../../src/process/process-host.ts'
import { readRecord } from '../../src/process/records.ts'
import { fileOf, forkDirOf } from '../../src/process/spool.ts'
import { descendantsOf, isDead, readAll, readCommand, readEnvironment } from '../../src/system/proc.ts'
import { buildShim, pythonShim } from '../../src/process/shim/build.ts'

/** The interpreter itself: what is called python3 may be a script that needs an environment. */
export const PYTHON = execFileSync(
  process.env['TROUPE_PYTHON'] ?? 'python3',
  ['-c', 'import sys; print(sys.executable)'],
  { encoding: 'utf8' },
).trim()

const program = fileURLToPath(new URL('programs/misbehave.py', import.meta.url))
/** argv of a fixture program, see misbehave.py */
export function misbehave(...args: string[]): string[] {
  return [PYTHON, '-ISs', program, ...args]
}

/** A copy of the fixture programs whose processes are known by their path. */
export function installMisbehave(directory: string): (...args: string[]) => string[] {
  const copy = join(directory, 'misbehave.py')
  copyFileSync(program, copy)
  return (...args) => [PYTHON, '-ISs', copy, ...args]
}

/** Trees of misbehave.py: how many processes each has when it is complete, and what it has said by then. */
export const TREES = {
  'ignore-term': { processes: 1, said: /ready/ },
  'double-fork': { processes: 2, said: /daemon/ },
  setsid: { processes: 2, said: /child/ },
  family: { processes: 5, said: /((child|daemon).*\n){4}/ },
  setproctitle: { processes: 1, said: /ready/ },
  'no-environment': { processes: 2, said: /ready/ },
  refork: { processes: 2, said: /ready/ },
  'refork-setsid': { processes: 2, said: /ready/ },
} as const

export function temporaryDirectory(): string {
  return mkdtempSync(join(tmpdir(), 'troupe-test-'))
}

/** Both shims, built into `cacheDir`. */
export async function shims(cacheDir: string): Promise<Record<'c' | 'python', string[]>> {
  const built = await buildShim(cacheDir)
  return { c: built.argv, python: await pythonShim(cacheDir, PYTHON) }
}

export type EventOf<W extends HostEvent['what']> = Extract<HostEvent, { what: W }>

/** Listens to a host and lets a test await what it tells. */
export function listenTo(host: ProcessHost) {
  const told: HostEvent[] = []
  const waiting = new Set<() => void>()
  host.onEvent((event) => {
    told.push(event)
    for (const look of [...waiting]) look()
  })
  return {
    told,
    of: (forkId: string): HostEvent[] => told.filter((event) => event.forkId === forkId),
    next<W extends HostEvent['what']>(
      what: W,
      forkId: string,
      fits: (event: EventOf<W>) => boolean = () => true,
      boundMs = 15_000,
    ): Promise<EventOf<W>> {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => {
          waiting.delete(look)
          reject(new Error(`no ${what} of ${forkId} within ${boundMs} ms; told: ${JSON.stringify(told)}`))
        }, boundMs)
        const look = (): void => {
          const event = told.find(
            (one): one is EventOf<W> => one.what === what && one.forkId === forkId && fits(one as EventOf<W>),
          )
          if (event === undefined) return
          waiting.delete(look)
          clearTimeout(timer)
          resolve(event)
        }
        waiting.add(look)
        look()
      })
    },
  }
}

export function linuxHost(
  spoolDir: string,
  shim: string[],
  more: Partial<LinuxHostOptions> = {},
): ProcessHost {
  return createLinuxHost({
    spoolDir,
    node: 'n0',
    agentEnv: { PATH: process.env['PATH'] ?? '', HOME: tmpdir() },
    shim,
    cacheDir: join(spoolDir, 'cache'),
    portRange: [20_000, 29_999],
    ...more,
  })
}

export function removeDirectory(directory: string): void {
  return rmSync(directory, { recursive: true, force: true })
}

/**
 * Live processes below a fork's shim, and all that carry its marker: the view of a test, which trusts no
 * host.
 */
export function processesOf(spoolDir: string, forkId: string): number[] {
  const { shim } = readRecord(fileOf.record(forkDirOf(spoolDir, forkId)))
  // a program that has just begun has no readable environment for a moment
  const found = shim === null ? [] : descendantsOf(shim.pid)
  const marked = readAll().filter(
    (stat) => readEnvironment(stat.pid)?.includes(`${MARKER}=${forkDirOf(spoolDir, forkId)}`) === true,
  )
  return [...new Set([...found, ...marked].filter((stat) => !isDead(stat)).map((stat) => stat.pid))]
}

/**
 * Kill everything of a spool, by its shims and by its marker, and then the shims: the last resort of a test
 * that failed or left something on purpose.
 */
export function sweepProcesses(spoolDir: string): void {
  for (let round = 0; round < 40; round++) {
    const all = readAll().filter((stat) => !isDead(stat))
    const shims = all.filter((stat) => readCommand(stat.pid).at(-1)?.startsWith(spoolDir) === true)
    const marked = all.filter(
      (stat) => readEnvironment(stat.pid)?.some((word) => word.startsWith(`${MARKER}=${spoolDir}`)) === true,
    )
    if (shims.length + marked.length === 0) break
    for (const { pid } of [...marked, ...shims.flatMap((shim) => descendantsOf(shim.pid))]) endQuietly(pid)
    if (round > 30) for (const { pid } of shims) endQuietly(pid)
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20)
  }
  findCgroups(spoolDir)?.sweep(() => false)
}

function endQuietly(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // gone
  }
}
