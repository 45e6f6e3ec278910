/**
 * What /proc says of processes: state, parent, group, session, start time, children, command, environment.
 * Owns reading and parsing; whom to signal is decided elsewhere. Everything is synchronous: a tree that forks
 * would change under an await. Where no descriptor is left it throws: nothing is taken for gone.
 * @see proc(5)
 */
import { closeSync, openSync, readFileSync, readSync, readdirSync, readlinkSync } from 'node:fs'
import { isOutOfDescriptors } from './descriptors.ts'
import { oneLine } from './terminal.ts'

export interface ProcStat {
  pid: number
  /** the program's name, at most 15 characters; it may hold anything */
  comm: string
  /** R running, S sleeping, D uninterruptible, T stopped, Z zombie, X dead */
  state: string
  ppid: number
  pgrp: number
  session: number
  /** clock ticks since boot; a text, because only equality means anything */
  startTime: string
}

/** Enough to know a process again after its pid was given to another. */
export interface ProcIdentity {
  pid: number
  startTime: string
}

const buffer = Buffer.alloc(4096)

/** Files of /proc have no size; a stat line is far below a page. */
function readPage(file: string): string | null {
  let fd: number
  try {
    fd = openSync(file, 'r')
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return null
  }
  try {
    return buffer.toString('latin1', 0, readSync(fd, buffer, 0, buffer.length, 0))
  } catch {
    // ESRCH: it ended between the two
    return null
  } finally {
    closeSync(fd)
  }
}

/** The command's name stands in brackets and may itself hold brackets and spaces: the last one counts. */
export function parseStat(line: string): ProcStat | null {
  const open = line.indexOf('(')
  const close = line.lastIndexOf(')')
  if (open < 0 || close < open) return null
  const fields = line
    .slice(close + 2)
    .trim()
    .split(' ')
  if (fields.length < 20) return null
  return {
    pid: Number(line.slice(0, open)),
    comm: line.slice(open + 1, close),
    state: fields[0]!,
    ppid: Number(fields[1]),
    pgrp: Number(fields[2]),
    session: Number(fields[3]),
    startTime: fields[19]!,
  }
}

/** @returns null when there is no such process; a zombie has a stat */
export function readStat(pid: number): ProcStat | null {
  const line = readPage(`/proc/${pid}/stat`)
  return line === null ? null : parseStat(line)
}

export function isDead(stat: ProcStat): boolean {
  return stat.state === 'Z' || stat.state === 'X'
}

/** The very process, running or stopped; a zombie is not alive, another process with its pid is not it. */
export function isAlive({ pid, startTime }: ProcIdentity): boolean {
  const stat = readStat(pid)
  return stat !== null && stat.startTime === startTime && !isDead(stat)
}

export function listPids(): number[] {
  const pids: number[] = []
  for (const name of readdirSync('/proc')) {
    const pid = Number(name)
    if (Number.isInteger(pid)) pids.push(pid)
  }
  return pids
}

/** Every process, zombies too. */
export function readAll(): ProcStat[] {
  return listPids()
    .map(readStat)
    .filter((stat) => stat !== null)
}

/** Children of every thread; null where the kernel was built without the list (CONFIG_PROC_CHILDREN). */
function childrenOf(pid: number): number[] | null {
  let threads: string[]
  try {
    threads = readdirSync(`/proc/${pid}/task`)
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return []
  }
  const children: number[] = []
  for (const thread of threads) {
    let text: string
    try {
      text = readFileSync(`/proc/${pid}/task/${thread}/children`, 'latin1')
    } catch (error) {
      if (isOutOfDescriptors(error)) throw error
      if (
        thread === String(pid) &&
        (error as NodeJS.ErrnoException).code === 'ENOENT' &&
        readStat(pid) !== null
      )
        return null
      continue
    }
    for (const word of text.split(' ')) if (word !== '') children.push(Number(word))
  }
  return children
}

/**
 * Everything below a process, parents first, zombies too. Not atomic: what forks meanwhile may be missing.
 */
export function descendantsOf(root: number): ProcStat[] {
  const found: ProcStat[] = []
  const queue = [root]
  const seen = new Set(queue)
  while (queue.length > 0) {
    const children = childrenOf(queue.shift()!)
    if (children === null) return descendantsByParent(root)
    for (const pid of children) {
      const stat = seen.has(pid) ? null : readStat(pid)
      if (stat === null) continue
      seen.add(pid)
      found.push(stat)
      queue.push(pid)
    }
  }
  return found
}

function descendantsByParent(root: number): ProcStat[] {
  return below(new Set([root]), readAll())
}

/** Those of `all` whose chain of parents leads to one of `roots`. */
export function below(roots: ReadonlySet<number>, all: readonly ProcStat[]): ProcStat[] {
  const byParent = groupByParent(all)
  const found: ProcStat[] = []
  const queue = [...roots]
  const seen = new Set(queue)
  while (queue.length > 0)
    for (const stat of byParent.get(queue.shift()!) ?? []) {
      if (seen.has(stat.pid)) continue
      seen.add(stat.pid)
      found.push(stat)
      queue.push(stat.pid)
    }
  return found
}

function groupByParent(all: readonly ProcStat[]): Map<number, ProcStat[]> {
  const groups = new Map<number, ProcStat[]>()
  for (const stat of all) {
    const group = groups.get(stat.ppid)
    if (group === undefined) groups.set(stat.ppid, [stat])
    else group.push(stat)
  }
  return groups
}

/** The arguments; empty for kernel threads, zombies and what is gone. */
export function readCommand(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8')
      .replace(/\0+$/, '')
      .split('\0')
      .filter((word, i) => i > 0 || word !== '')
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return []
  }
}

/** For people, one line: the command line, or the name in brackets as `ps` writes it. */
export function describe(stat: ProcStat): string {
  const words = readCommand(stat.pid).join(' ').trim().slice(0, 200)
  // the name was read byte by byte
  return oneLine(words || `[${Buffer.from(stat.comm, 'latin1').toString()}]`)
}

/**
 * @returns the `NAME=value` words a process began with, or null when they may not be read (another user, not
 * dumpable)
 */
export function readEnvironment(pid: number): string[] | null {
  try {
    return readFileSync(`/proc/${pid}/environ`, 'latin1').split('\0')
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return null
  }
}

/** It sleeps in sigwait or one of its kin; false where the kernel does not say in which call it sleeps. */
export function waitsForSignal(pid: number): boolean {
  return readPage(`/proc/${pid}/wchan`)?.includes('sigtimedwait') === true
}

/** Signals of a process, bit n-1 for number n. @returns null when there is no such process */
export function readSignalSets(pid: number): { caught: bigint; ignored: bigint; blocked: bigint } | null {
  const status = readPage(`/proc/${pid}/status`) ?? ''
  const set = (key: string): bigint | null => {
    const hex = new RegExp(`^${key}:\\s*([0-9a-f]+)$`, 'm').exec(status)?.[1]
    return hex === undefined ? null : BigInt(`0x${hex}`)
  }
  const [caught, ignored, blocked] = [set('SigCgt'), set('SigIgn'), set('SigBlk')]
  if (caught === null || ignored === null || blocked === null) return null
  return { caught, ignored, blocked: blocked | awaitedSignals(pid) }
}

/** rt_sigtimedwait(2), by the machine's number of it. */
const SIGTIMEDWAIT: Readonly<Record<string, string>> = { x64: '128', arm64: '137' }

/** While a process waits for signals (sigwait, as tini does), they are not among the blocked ones. */
function awaitedSignals(pid: number): bigint {
  const [call, set] = readPage(`/proc/${pid}/syscall`)?.split(' ') ?? []
  if (call === undefined || call !== SIGTIMEDWAIT[process.arch]) return 0n
  let fd: number | null = null
  try {
    fd = openSync(`/proc/${pid}/mem`, 'r')
    const bytes = Buffer.alloc(8)
    return readSync(fd, bytes, 0, 8, Number(set)) === 8 ? bytes.readBigUInt64LE() : 0n
  } catch {
    return 0n // another user's, or one that may not be looked into
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

/** Resident bytes; 0 for what is gone. */
export function residentBytes(pid: number): number {
  return Number(readPage(`/proc/${pid}/statm`)?.split(' ')[1] ?? 0) * PAGE_BYTES
}
/**
 * What Linux uses on x86-64; on arm64 with larger pages resident sizes are underestimated, which harms
 * nothing.
 */
const PAGE_BYTES = 4096

/** Changes with each boot: start times of different boots mean nothing to each other. */
export function readBootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim()
}

/** Pids mean something only within one namespace: `pid:[4026531836]`. */
export function readPidNamespace(): string {
  return readlinkSync('/proc/self/ns/pid')
}

/** How often the kernel has killed for want of memory since boot, anywhere; null where it does not count. */
export function readOomKills(): number | null {
  try {
    const match = /^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'latin1'))
    return match ? Number(match[1]) : null
  } catch {
    return null
  }
}
