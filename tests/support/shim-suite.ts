/**
 * Shared by the files of tests/contracts/shim: both shims, built once for a file, and forks for them, without
 * any host.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll } from 'vitest'
import { writeExecFile } from '../../src/process/exec-file.ts'
import { BLANK_RECORD, exitOf, readRecord, type ForkRecord } from '../../src/process/records.ts'
import { removeDirectory, shims, sweepProcesses, temporaryDirectory } from './linux-host.ts'

export const KINDS = ['c', 'python'] as const
export const directory = temporaryDirectory()
export let built: Record<'c' | 'python', string[]>
let count = 0
beforeAll(async () => {
  built = await shims(directory)
})
afterEach(() => sweepProcesses(directory))
afterAll(() => removeDirectory(directory))

export function OOM(): null {
  return null
}

export function shimSuite(kind: 'c' | 'python') {
  const prepare = (argv: string[], more: { env?: Record<string, string>; cwd?: string } = {}) => {
    const forkDir = join(directory, `fork-${count++}`)
    const logDir = join(directory, `logs-${count}`)
    mkdirSync(forkDir)
    mkdirSync(logDir)
    writeFileSync(join(forkDir, 'record'), BLANK_RECORD)
    writeExecFile(join(forkDir, 'exec'), {
      cwd: more.cwd ?? '/',
      logDir,
      cgroup: null,
      bootId: 'boot',
      oomKills: null,
      argv,
      env: { PATH: process.env['PATH']!, ...more.env },
    })
    return {
      forkDir,
      record: (): ForkRecord => readRecord(join(forkDir, 'record')),
      log: (source: string): string => readFileSync(join(logDir, source), 'utf8'),
      logDir,
    }
  }
  type Fork = ReturnType<typeof prepare>
  const launch = (
    fork: Fork,
    args: string[] = [fork.forkDir],
    shell?: string,
  ): { shim: ChildProcess; code: Promise<number | null> } => {
    // one descriptor too many, which no worker may get
    const leaked = openSync(join(fork.logDir, '..'), 'r')
    const shim = spawn(built[kind][0]!, [...built[kind].slice(1), ...args], {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', leaked],
      env: { PATH: process.env['PATH'], ...(shell !== undefined && { TROUPE_SHELL: shell }) },
      cwd: '/',
    })
    closeSync(leaked)
    return { shim, code: new Promise((resolve) => shim.once('exit', resolve)) }
  }
  const until = async <T>(get: () => T | null | undefined | false, what: string): Promise<T> => {
    for (const end = Date.now() + 10_000; Date.now() < end; await sleep(5)) {
      const value = get()
      if (value !== null && value !== undefined && value !== false) return value
    }
    throw new Error(`not within 10 s: ${what}`)
  }
  const runToEnd = async (
    argv: string[],
    { shell, ...more }: NonNullable<Parameters<typeof prepare>[1]> & { shell?: string } = {},
  ) => {
    const fork = prepare(argv, more)
    await launch(fork, [fork.forkDir], shell).code
    const record = fork.record()
    return { ...fork, final: record, exit: record.exit === null ? null : exitOf(record.exit, OOM) }
  }

  return { prepare, launch, until, runToEnd }
}
