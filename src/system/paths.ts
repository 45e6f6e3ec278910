/**
 * Where Troupe keeps things: TROUPE_HOME (contexts, credentials; may be on NFS), TROUPE_LOCAL (bus stores and
 * spools; a local disk alone), TROUPE_CACHE (downloads). Owns the defaults and the look at the file system;
 * makes a directory only in `ensurePrivateDir`.
 */
import { realpathSync, statfsSync } from 'node:fs'
import { chmod, lstat, mkdir, stat } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, dirname, join, resolve } from 'node:path'

export type Env = Readonly<Record<string, string | undefined>>

function given(env: Env, name: string): string | null {
  return env[name] ? realOf(resolve(env[name])) : null
}
/**
 * One directory is one fleet, by whichever link it was reached: what is not there yet is taken as it is
 * written.
 */
function realOf(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return dirname(path) === path ? path : join(realOf(dirname(path)), basename(path))
  }
}
function xdg(env: Env, name: string, fallback: string): string {
  const base = env[name]
  // the XDG specification: a relative path there is to be ignored
  return base?.startsWith('/') ? base : join(env.HOME || homedir(), fallback)
}
function uid(): string {
  return String(process.getuid?.() ?? 'user')
}

/** Contexts and credentials. Not made here: what only reads creates nothing. */
export function homeOf(env: Env = process.env): string {
  return given(env, 'TROUPE_HOME') ?? join(xdg(env, 'XDG_STATE_HOME', '.local/state'), 'troupe')
}

/** Bus stores and spools. Ask `localProblem` before anything is written there. */
export function localOf(env: Env = process.env): string {
  const explicit = given(env, 'TROUPE_LOCAL')
  if (explicit !== null) return explicit
  const home = given(env, 'TROUPE_HOME')
  if (home !== null && networkFileSystem(home) === null) return join(home, 'local')
  return join(given(env, 'SLURM_TMPDIR') ?? '/var/tmp', `troupe-${uid()}`)
}

/** Downloads and builds that the next clone can use too. */
export function cacheOf(env: Env = process.env): string {
  return given(env, 'TROUPE_CACHE') ?? join(xdg(env, 'XDG_CACHE_HOME', '.cache'), 'troupe')
}

export function fleetDir(local: string, fleet: string): string {
  return join(local, fleet)
}
/** The bus's store of a fleet. */
export function busDir(local: string, fleet: string): string {
  return join(fleetDir(local, fleet), 'bus')
}
/** What one node of a fleet keeps: its spool, its lock, its log. */
export function nodeDir(fleetDirectory: string, node: string): string {
  return join(fleetDirectory, 'nodes', node)
}

/**
 * `f_type` of statfs(2) on Linux. FUSE and 9P are not here: containers and virtual machines have local disks
 * on them.
 */
const NETWORK_TYPES: Readonly<Record<number, string>> = {
  0x6969: 'NFS',
  0x517b: 'SMB',
  0xff534d42: 'CIFS',
  0xfe534d42: 'SMB2',
  0x0bd00bd0: 'Lustre',
  0x47504653: 'GPFS',
  0x00c36400: 'Ceph',
  0x5346414f: 'AFS',
  0x6b414653: 'kAFS',
  0x19830326: 'BeeGFS',
  0xaad7aaea: 'PanFS',
  0x7461636f: 'OCFS2',
  0x01161970: 'GFS2',
  0x73757245: 'Coda',
}

/**
 * @returns the kind of network file system that `path` (or its nearest ancestor that exists) is on, or null
 */
export function networkFileSystem(
  path: string,
  typeOf: (path: string) => number = (p) => statfsSync(p).type,
): string | null {
  if (process.platform !== 'linux') return null
  for (let at = resolve(path); ; at = dirname(at)) {
    try {
      // node gives the word as signed on some architectures
      return NETWORK_TYPES[typeOf(at) >>> 0] ?? null
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || at === dirname(at)) return null
    }
  }
}

/**
 * Why `local` cannot hold stores and spools, or null when it can. Locks, O_APPEND and fsync do not hold over
 * a network file system, and a thousand nodes' logs on one server are an outage.
 */
export function localProblem(local: string, typeOf?: (path: string) => number): string | null {
  const kind = networkFileSystem(local, typeOf)
  return kind === null
    ? null
    : `'${local}' is on a network file system (${kind}); stores and spools need a local disk: set TROUPE_LOCAL`
}

/**
 * Make a directory that only we can enter. `/var/tmp/troupe-UID` could have been made, or linked somewhere,
 * by somebody else before us.
 *
 * @throws {Error} when it, or what it links to, is not ours
 */
export async function ensurePrivateDir(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  for (const { uid: owner } of [await lstat(path), await stat(path)])
    if (process.getuid !== undefined && owner !== process.getuid())
      throw new Error(`'${path}' belongs to user ${owner}, not to us`)
}

/**
 * Earlier versions made the cache with the umask's mode: others could read it. One that a person has chosen
 * (TROUPE_CACHE) may be shared on purpose, and stays as it is.
 */
export async function mendCache(env: Env): Promise<void> {
  if (given(env, 'TROUPE_CACHE') !== null) return
  const path = cacheOf(env)
  const there = await lstat(path).catch(() => null)
  if (there?.isDirectory() === true && there.uid === process.getuid?.() && (there.mode & 0o77) !== 0)
    await chmod(path, 0o700).catch(() => undefined)
}
