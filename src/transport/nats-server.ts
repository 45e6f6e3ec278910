/**
 * A nats-server of our own: find the program, judge its version, start it on its port, tell it to read its
 * configuration again, end it. Owns no configuration text (server-config.ts) and gets no program (set-up
 * does).
 */
import { spawn } from 'node:child_process'
import { access, constants, open, readdir } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import { formatHostPort } from '../protocol/hostport.ts'
import { runProgram } from '../system/run.ts'
import { firstLineOf } from './nats/first-line.ts'
import { aboveSecurityFloor, atLeast, LOWEST, parseVersion, SECURE_TEXT } from './nats/versions.ts'

export interface FoundServer {
  path: string
  version: string
  /** said to people when the version has known holes; null when it has none that we know */
  warning: string | null
}

/** How long a new server may take until it answers; a large store is read first. */
const READY_MS = 15_000

/**
 * TROUPE_NATS_SERVER, else PATH, else the cache (`CACHE/nats-server/VERSION/nats-server`); the first above
 * the security floor, else the first that can be used.
 *
 * @throws {Fault} SETUP when there is none, or none that is new enough
 */
export async function findNatsServer(options: {
  env: Readonly<Record<string, string | undefined>>
  cache: string
}): Promise<FoundServer> {
  const { env, cache } = options
  const explicit = env['TROUPE_NATS_SERVER']
  const candidates = explicit
    ? [explicit]
    : [
        ...(env['PATH'] ?? '')
          .split(delimiter)
          .filter(Boolean)
          .map((dir) => join(dir, 'nats-server')),
        ...(await cached(cache)),
      ]
  const tooOld: string[] = []
  let usable: FoundServer | null = null
  for (const path of candidates) {
    const version = await versionOf(path)
    if (version === null) continue
    const numbers = parseVersion(version)
    if (!atLeast(numbers, LOWEST)) {
      tooOld.push(`${path} is ${version}`)
      continue
    }
    if (aboveSecurityFloor(numbers)) return { path, version, warning: null }
    usable ??= {
      path,
      version,
      warning: `nats-server ${version} (${path}) has known security holes; ${SECURE_TEXT} have not`,
    }
  }
  if (usable !== null) return usable
  throw new Fault(
    'SETUP',
    tooOld.length > 0
      ? `nats-server from ${LOWEST.join('.')} is needed: ${tooOld.join(', ')}`
      : explicit
        ? `TROUPE_NATS_SERVER: '${explicit}' is no nats-server`
        : 'there is no nats-server on PATH or in the cache',
    {
      hint: 'set TROUPE_NATS_SERVER, or get one by: npm start',
    },
  )
}

async function cached(cache: string): Promise<string[]> {
  const dir = join(cache, 'nats-server')
  const versions = await readdir(dir).catch(() => [])
  const newestFirst = versions.toSorted((a, b) => (atLeast(parseVersion(a), parseVersion(b)) ? -1 : 1))
  return newestFirst.map((version) => join(dir, version, 'nats-server'))
}

/** @returns `2.15.2`, or null when the path is no nats-server that can be run */
async function versionOf(path: string): Promise<string | null> {
  try {
    await access(path, constants.X_OK)
    const { stdout } = await runProgram([path, '--version'], { timeoutMs: 5000 })
    return /nats-server: v(\d+\.\d+\.\d+\S*)/.exec(stdout)?.[1] ?? null
  } catch {
    return null
  }
}

export interface RunningServer {
  pid: number
  url: string
  /** Resolves with the cause of its end; never, when the process is not our child (detached). */
  exited: Promise<{ code: number | null; signal: string | null }>
  /** SIGINT, which it answers by exit 0; SIGKILL when it does not within 5 s */
  stop(): Promise<void>
}

/** The server gives memory back to the system sooner when it nears this; what its streams hold is bounded. */
const MEMORY_SOFT_MAX = '512MiB'

/**
 * Start a server and wait until it answers under its name.
 *
 * @param logFile   where its stdout and stderr go, appended
 * @param detached  a session of its own, so that it outlives us
 * @throws {Fault} SETUP when it ends before it is ready, with its last words
 */
export async function startNatsServer(options: {
  binary: string
  configFile: string
  host: string
  port: number
  serverName: string
  logFile: string
  detached: boolean
}): Promise<RunningServer> {
  const { binary, configFile, host, port, serverName, logFile, detached } = options
  const log = await open(logFile, 'a', 0o600)
  const { size: logStart } = await log.stat()
  const child = spawn(binary, ['-c', configFile], {
    stdio: ['ignore', log.fd, log.fd],
    detached,
    cwd: '/',
    env: { GOMEMLIMIT: MEMORY_SOFT_MAX, ...process.env },
  })
  const exited = new Promise<{ code: number | null; signal: string | null }>((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }))
    child.once('error', () => resolve({ code: null, signal: null }))
  })
  await log.close()
  let ended = false
  void exited.then(() => (ended = true))

  const giveUpAt = performance.now() + READY_MS
  while (!(await answersAs(host, port, serverName))) {
    if (ended || performance.now() > giveUpAt) {
      child.kill('SIGKILL')
      throw new Fault(
        'SETUP',
        `nats-server ${ended ? 'ended at once' : `did not answer within ${READY_MS} ms`}: ${await lastWords(logFile, logStart)}`,
        { hint: `its log: ${logFile}` },
      )
    }
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
  if (detached) child.unref()
  return {
    pid: child.pid!,
    url: `nats://${formatHostPort(host, port)}`,
    exited,
    async stop() {
      child.kill('SIGINT')
      const timer = setTimeout(() => child.kill('SIGKILL'), 5000)
      await exited
      clearTimeout(timer)
    },
  }
}

/** Does the server at this address call itself so? */
export async function answersAs(
  host: string,
  port: number,
  serverName: string,
  timeoutMs = 1000,
): Promise<boolean> {
  return (await firstLineOf(host, port, timeoutMs)).serverName === serverName
}

async function lastWords(logFile: string, from: number): Promise<string> {
  const file = await open(logFile, 'r')
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(64 * 1024), 0, 64 * 1024, from)
    const lines = buffer.toString('utf8', 0, bytesRead).trim().split('\n')
    return (
      (lines.findLast((line) => /\[(FTL|ERR)\]|nats-server:/.test(line)) ?? lines.at(-1) ?? '').replace(
        /^\[\d+\] \S+ \S+ /,
        '',
      ) || 'it said nothing'
    )
  } finally {
    await file.close()
  }
}
