/**
 * Runs a hook: a short program beside a worker, with the worker's environment and directory. Probes and
 * pre-stop calls are hooks. Owns the timeout of a hook and its end. A hook gets a process group of its own.
 * Hooks have no shim, so a descendant that left the group is found by a mark in its environment.
 */
import { randomUUID } from 'node:crypto'
import { spawn } from 'node:child_process'
import { get } from 'node:http'
import type { PreStop } from '../protocol/launch/resolved.ts'
import { isDead, readAll } from '../system/proc.ts'
import { carries } from './tree.ts'

export interface WorkerContext {
  cwd: string
  env: Readonly<Record<string, string>>
}

interface HookOptions {
  timeoutMs: number
  /** also when it ended in time, look at all processes for what it left: dear, so not after each probe */
  leavesNothing?: boolean
}

/**
 * @returns its exit code; 128 + signal when it was ended by one. @throws {Error} when it cannot run, or took
 * longer
 */
export function runHook(
  { cwd, env }: WorkerContext,
  argv: readonly string[],
  { timeoutMs, leavesNothing = false }: HookOptions,
): Promise<number> {
  return new Promise((resolve, reject) => {
    const mark = `TROUPE_HOOK=${randomUUID()}`
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd,
      env: { ...env, TROUPE_HOOK: mark.slice('TROUPE_HOOK='.length) },
      stdio: 'ignore',
      detached: true,
    })
    const timer = setTimeout(() => {
      reject(new Error(`${argv[0]} took longer than ${timeoutMs} ms`))
      endGroup(child.pid)
      endMarked(mark)
    }, timeoutMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      endGroup(child.pid)
      if (leavesNothing) endMarked(mark)
      resolve(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15))
    })
  })
}

function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // nobody is left in it
  }
}

/** What it forks while we look is found in the next round. */
const ROUNDS_MAX = 10

function endMarked(mark: string): void {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const left = readAll().filter((stat) => !isDead(stat) && carries(stat, mark))
    if (left.length === 0) return
    for (const { pid } of left)
      try {
        process.kill(pid, 'SIGKILL')
      } catch {
        // it ended meanwhile
      }
  }
}

/** The pre-stop call; it resolves when it ended or its time is over, whatever came of it. */
export async function callPreStop(
  preStop: PreStop,
  context: WorkerContext,
  host: string,
  ports: readonly number[],
): Promise<void> {
  if (preStop.kind === 'exec')
    return void (await runHook(context, preStop.command, {
      timeoutMs: preStop.timeoutMs,
      leavesNothing: true,
    }).catch(() => {}))
  const port = ports[preStop.port]
  if (port !== undefined) await callHttp({ host, port, path: preStop.path, timeoutMs: preStop.timeoutMs })
}

function callHttp({
  host,
  port,
  path,
  timeoutMs,
}: {
  host: string
  port: number
  path: string
  timeoutMs: number
}): Promise<void> {
  return new Promise((resolve) => {
    const request = get({ host, port, path, agent: false }, (response) =>
      response.resume().once('close', resolve),
    )
    const timer = setTimeout(() => request.destroy(), timeoutMs)
    request.on('error', () => resolve())
    request.on('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
}
