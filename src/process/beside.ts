/**
 * Runs a short program beside a worker, with its environment and directory: probes and pre-stop calls. Owns its timeout and its end:
 * it gets a group of its own and never outlives its time.
 */
import { spawn } from 'node:child_process'
import { get } from 'node:http'
import type { PreStop } from '../protocol/resolved.ts'

export interface Place {
  cwd: string
  env: Readonly<Record<string, string>>
}

/** @returns its exit code; 128 + signal when it was ended by one. @throws {Error} when it cannot run, or took longer */
export const runBeside = ({ cwd, env }: Place, argv: readonly string[], timeoutMs: number): Promise<number> =>
  new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), { cwd, env: { ...env }, stdio: 'ignore', detached: true })
    const timer = setTimeout(() => {
      reject(new Error(`${argv[0]} took longer than ${timeoutMs} ms`))
      endGroup(child.pid)
    }, timeoutMs)
    child.once('error', (error) => {
      clearTimeout(timer)
      reject(error)
    })
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      endGroup(child.pid)
      resolve(code ?? 128 + (signal === 'SIGKILL' ? 9 : 15))
    })
  })

const endGroup = (pid: number | undefined): void => {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // nobody is left in it
  }
}

/** The pre-stop call; it resolves when it ended or its time is over, whatever came of it. */
export const callPreStop = async (preStop: PreStop, place: Place, host: string, ports: readonly number[]): Promise<void> => {
  if (preStop.kind === 'exec') return void (await runBeside(place, preStop.command, preStop.timeoutMs).catch(() => {}))
  const port = ports[preStop.port]
  if (port !== undefined) await callHttp({ host, port, path: preStop.path, timeoutMs: preStop.timeoutMs })
}

const callHttp = ({ host, port, path, timeoutMs }: { host: string; port: number; path: string; timeoutMs: number }): Promise<void> =>
  new Promise((resolve) => {
    const request = get({ host, port, path, agent: false }, (response) => response.resume().once('close', resolve))
    const timer = setTimeout(() => request.destroy(), timeoutMs)
    request.on('error', () => resolve())
    request.on('close', () => {
      clearTimeout(timer)
      resolve()
    })
  })
