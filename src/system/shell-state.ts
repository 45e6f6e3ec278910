/**
 * What a program has of the shell that started it, beside its environment: umask and soft limits. The kernel
 * hands them on as they are, but Node raises its own limit of open files at its start. bin/troupe asks for
 * that before, and says it in TROUPE_NOFILE.
 */
import { readFileSync, readlinkSync } from 'node:fs'
import type { CallerShell, LimitName } from '../protocol/launch/resolved.ts'

/** By the name of setrlimit(2): its number on Linux, and its line in /proc/PID/limits. */
const RESOURCES = {
  cpu: [0, 'Max cpu time'],
  fsize: [1, 'Max file size'],
  data: [2, 'Max data size'],
  stack: [3, 'Max stack size'],
  core: [4, 'Max core file size'],
  nproc: [6, 'Max processes'],
  nofile: [7, 'Max open files'],
  memlock: [8, 'Max locked memory'],
  as: [9, 'Max address space'],
} as const satisfies Record<LimitName, readonly [number, string]>

type Env = Readonly<Record<string, string | undefined>>

/** @returns of the shell that started this very program; undefined where the kernel does not tell */
export function readShellState(env: Env): CallerShell | undefined {
  let limits: string
  let umask: string | undefined
  try {
    limits = readFileSync('/proc/self/limits', 'latin1')
    umask = /^Umask:\s*([0-7]+)$/m.exec(readFileSync('/proc/self/status', 'latin1'))?.[1]
  } catch {
    return undefined
  }
  if (umask === undefined) return undefined
  const read = Object.entries(RESOURCES).flatMap(([name, [, label]]) => {
    const line = new RegExp(`^${label}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(limits)
    if (line === null) return []
    if (name !== 'nofile') return [[name, valueOf(line[1]!)]]
    const soft = nofileOf(env)
    // a Node program that starts us has raised it, too: nobody has typed that
    return soft === undefined || (soft === valueOf(line[2]!) && isNode(process.ppid)) ? [] : [[name, soft]]
  })
  return { umask, limits: Object.fromEntries(read) as CallerShell['limits'] }
}

function valueOf(text: string): number | null {
  return Number.isSafeInteger(Number(text)) ? Number(text) : null
}

/** @returns undefined where this program was not started by bin/troupe */
function nofileOf({ TROUPE_NOFILE }: Env): number | null | undefined {
  return TROUPE_NOFILE === undefined || !/^(\d+|unlimited)$/.test(TROUPE_NOFILE)
    ? undefined
    : valueOf(TROUPE_NOFILE)
}

function isNode(pid: number): boolean {
  try {
    return readlinkSync(`/proc/${pid}/exe`) === readlinkSync('/proc/self/exe')
  } catch {
    return false
  }
}

/**
 * What a shim is told, in TROUPE_SHELL: what the agent has but for its limit of open files, and over it what
 * the shell that launched had.
 */
export function shellWords(agentEnv: Env, callers: CallerShell = {}): string {
  const nofile = nofileOf(agentEnv)
  const limits = { ...(nofile !== undefined && { nofile }), ...callers.limits }
  const words = Object.entries(limits).map(
    ([name, soft]) => `${RESOURCES[name as LimitName][0]}:${soft ?? -1},`,
  )
  return `${callers.umask === undefined ? -1 : Number.parseInt(callers.umask, 8)} ${words.join('')}`
}
