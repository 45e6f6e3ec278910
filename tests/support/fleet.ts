/**
 * A real fleet in a home of its own, driven by the built command line as a user would: bus, coordinator and
 * agents are processes. `end` takes it down and checks that nothing is left; call it in afterAll.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, isAbsolute, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { execa } from 'execa'

export const root = resolve(import.meta.dirname, '../..')
export const TROUPE = join(root, 'bin/troupe')
export const python = process.env['TROUPE_PYTHON'] ?? 'python3'

export interface Ran {
  code: number
  stdout: string
  stderr: string
}

export interface UpInfo {
  context: string
  url: string
  fleet: string
  user: string
  credentials: { client: string; observer: string }
  pids: { bus: number; coordinator: number; agents: Record<string, number> }
}

export interface Fleet {
  home: string
  env: NodeJS.ProcessEnv
  info: UpInfo
  /** run `troupe ARGS`, wait for its end */
  troupe(
    args: string[],
    options?: { input?: string; timeoutMs?: number; env?: NodeJS.ProcessEnv; cwd?: string },
  ): Promise<Ran>
  /** parsed stdout of a command that must succeed */
  json<T = any>(args: string[]): Promise<T>
  /** start `troupe ARGS` and leave it running */
  start(args: string[], env?: NodeJS.ProcessEnv): ChildProcess & { output(): Ran }
  /** `up --detach` again: starts what is missing; refreshes `info` */
  repair(agents?: number): Promise<UpInfo>
  end(): Promise<void>
}

/** Run a program to its end. The code -1 says that a signal ended it, or that it cannot be started. */
export async function run(
  program: string,
  args: readonly string[],
  options: { env?: NodeJS.ProcessEnv; input?: string; timeoutMs?: number; cwd?: string } = {},
): Promise<Ran> {
  const { exitCode, stdout, stderr } = await execa(program, args, {
    env: options.env ?? process.env,
    extendEnv: false,
    cwd: options.cwd ?? root,
    input: options.input ?? '',
    timeout: options.timeoutMs ?? 60_000,
    killSignal: 'SIGKILL',
    maxBuffer: 256 * 1024 * 1024,
    stripFinalNewline: false,
    reject: false,
  })
  return { code: exitCode ?? -1, stdout, stderr }
}

export function fleetEnv(home: string): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = { ...process.env, TROUPE_HOME: home }
  if (isAbsolute(python)) env['PATH'] = `${dirname(python)}${delimiter}${env['PATH']}`
  delete env['TROUPE_LOCAL']
  return env
}

export function makeHome(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'troupe-test-'))
}

/** @param options.bus  a tenant's file: the bus is another fleet's */
export async function startFleet(
  options: { agents?: number; env?: NodeJS.ProcessEnv; bus?: string; up?: readonly string[] } = {},
): Promise<Fleet> {
  const home = await makeHome()
  const env = { ...fleetEnv(home), ...options.env }
  const troupe: Fleet['troupe'] = (args, more = {}) =>
    run(TROUPE, args, { ...more, env: { ...env, ...more.env } })
  const up = async (agents: number): Promise<UpInfo> => {
    const result = await troupe([
      'up',
      ...(options.bus === undefined ? [] : ['--bus', options.bus]),
      '--agents',
      String(agents),
      '--detach',
      '--json',
      ...(options.up ?? []),
    ])
    if (result.code !== 0) throw new Error(`up ended with ${result.code}: ${result.stderr}`)
    return JSON.parse(result.stdout) as UpInfo
  }
  const fleet: Fleet = {
    home,
    env,
    info: await up(options.agents ?? 1),
    troupe,
    async json(args) {
      const result = await troupe([...args, '--json'])
      if (result.code !== 0)
        throw new Error(`troupe ${args.join(' ')} ended with ${result.code}: ${result.stderr}`)
      return JSON.parse(result.stdout)
    },
    start(args, more = {}) {
      const child = spawn(TROUPE, args, {
        env: { ...env, ...more },
        cwd: root,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      const out: Ran = { code: -1, stdout: '', stderr: '' }
      child.stdout.on('data', (chunk) => (out.stdout += chunk))
      child.stderr.on('data', (chunk) => (out.stderr += chunk))
      child.on('close', (code) => (out.code = code ?? -1))
      return Object.assign(child, { output: () => out })
    },
    async repair(agents = options.agents ?? 1) {
      return (fleet.info = await up(agents))
    },
    async end() {
      const down = await troupe(['down'])
      await rm(home, { recursive: true, force: true })
      if (down.code !== 0) throw new Error(`down ended with ${down.code}: ${down.stdout}${down.stderr}`)
    },
  }
  return fleet
}

/**
 * Wait until `look` gives something that is not null or false; a bounded poll of facts that have no event.
 */
export async function until<T>(
  what: string,
  look: () => Promise<T | null | false | undefined> | T | null | false | undefined,
  boundMs = 20_000,
): Promise<T> {
  const end = Date.now() + boundMs
  for (;;) {
    const value = await look()
    if (value !== null && value !== false && value !== undefined) return value
    if (Date.now() > end) throw new Error(`not within ${boundMs} ms: ${what}`)
    await sleep(50)
  }
}

/** Is this process alive (a zombie is not)? */
export async function alive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'latin1').catch(() => null)
  return stat !== null && !/^[ZX]/.test(stat.slice(stat.lastIndexOf(')') + 2))
}

/** The log files of a run in the spools of a fleet: `FORKID SOURCE` → file. */
export async function spooledLogs({ home, info }: Fleet, run: string): Promise<Map<string, string>> {
  const found = new Map<string, string>()
  const nodes = join(home, 'local', info.fleet, 'nodes')
  for (const node of await readdir(nodes)) {
    const logs = join(nodes, node, 'spool/logs')
    for (const forkId of await readdir(logs).catch(() => []))
      if (forkId.startsWith(`${run}.`))
        for (const source of await readdir(join(logs, forkId)))
          if (/^(r\d+(\.\d+)?-)?(stdout|stderr)$/.test(source))
            found.set(`${forkId} ${source}`, join(logs, forkId, source))
  }
  return found
}

/** A launch document of one role, `main`. */
export function task(name: string, command: string[], role: object = {}, top: object = {}): string {
  return JSON.stringify({
    apiVersion: 'troupe/v1',
    name,
    roles: { main: { kind: 'task', command, ...role } },
    ...top,
  })
}
