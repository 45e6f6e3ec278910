/**
 * Signals to a whole tree. Owns how to reach everything and when nothing more can be done; timing between
 * TERM and KILL is the agent's, the receipt is observe.ts.
 *
 * Groups first: `kill(-pgid)` is atomic against a process that forks. Then each process outside of them. A
 * process that leaves its session and forks every 2 ms is outrun: its next parent is the shim, whose children
 * are read and killed in tens of microseconds.
 */
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { signalNumber } from '../protocol/signals.ts'
import { isAlive, readStat, type ProcIdentity, type ProcStat } from '../system/proc.ts'
import { killCgroup } from './cgroup.ts'
import { groupsOf, hasShim, membersOf, type Tree } from './tree.ts'

/**
 * How long what was killed may take to end (uninterruptible sleep, a driver that frees its memory) before it
 * is a survivor.
 */
const KILL_BUDGET_MS = 10_000
/** Rounds without a pause, while each finds somebody new. */
const BURST = 50
/** Looks at a tree without a shim that have to find nobody. */
export const QUIET_LOOKS = 2

export type Send = (pid: number, signal: number) => void

/** @returns whether it arrived; a process that is gone needs none, another user's refuses it */
function deliver(send: Send, pid: number, signal: number): boolean {
  try {
    send(pid, signal)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ESRCH'
  }
}

const kill: Send = (pid, signal) => void process.kill(pid, signal)

/** One signal to everything of the tree, once each. @returns who was there */
export function signalMembers(
  tree: Tree,
  signal: string,
  send: Send = kill,
): { members: ProcStat[]; refused: Set<number> } {
  const number = signalNumber(signal)
  const members = membersOf(tree)
  const refused = new Set<number>()
  if (number === null) return { members, refused }
  const groups = groupsOf(tree, members)
  for (const group of groups) deliver(send, -group, number)
  for (const { pid, pgrp } of members) {
    // a group's refusal says only that all of it refused, so for those everybody is asked again
    const reached = groups.has(pgrp)
      ? number !== SIGKILL || deliver(send, pid, number)
      : deliver(send, pid, number)
    if (!reached) refused.add(pid)
  }
  return { members, refused }
}
const SIGKILL = 9

export interface KillOptions {
  /** true when the shim has said that the tree is empty */
  isEmpty(): boolean
  /** shims of ranks: they are left alone until they had a moment to record how their rank ended */
  spareFirst: ReadonlySet<number>
  budgetMs?: number
  send?: Send
}

const SPARE_MS = 100

/**
 * SIGKILL to a fixpoint.
 * @returns what is still there when nothing more can be done; empty when nothing is left or nobody is seen
 * any more
 */
export async function killMembers(
  tree: Tree,
  { isEmpty, spareFirst, budgetMs = KILL_BUDGET_MS, send = kill }: KillOptions,
): Promise<ProcStat[]> {
  const began = performance.now()
  if (spareFirst.size > 0) {
    for (const { pid } of membersOf(tree)) if (!spareFirst.has(pid)) deliver(send, pid, SIGKILL)
    const spared = (): boolean => membersOf(tree).some((stat) => spareFirst.has(stat.pid))
    while (!isEmpty() && performance.now() - began < SPARE_MS && spared()) await sleep(2)
  }
  for (let pauseMs = 0, quiet = 0; ; pauseMs = Math.min(pauseMs + 1, 20)) {
    if (isEmpty()) return []
    if (tree.cgroup !== null) killCgroup(tree.cgroup)
    const { members, refused } = burst(tree, send)
    quiet = members.length === 0 ? quiet + 1 : 0
    const spent = performance.now() - began
    if (
      members.length > 0 &&
      (spent > budgetMs || (spent > SPARE_MS && members.every((stat) => refused.has(stat.pid))))
    )
      return members
    // with a living shim the proof is its word; without one nobody seen is all that can be had
    if (quiet >= QUIET_LOOKS && (spent > budgetMs || !hasShim(tree))) return []
    await (pauseMs === 0 ? turn() : sleep(pauseMs))
  }
}

function burst(tree: Tree, send: Send): { members: ProcStat[]; refused: Set<number> } {
  const seen = new Set<number>()
  let last = signalMembers(tree, 'SIGKILL', send)
  for (let i = 0; i < BURST && last.members.some((stat) => !seen.has(stat.pid)); i++) {
    for (const stat of last.members) seen.add(stat.pid)
    last = signalMembers(tree, 'SIGKILL', send)
  }
  return last
}

const SIGCONT = 18

/** A process that is stopped gets no other signal before it goes on, and could not save within a stop. */
export function letGoOn(processes: readonly ProcIdentity[]): void {
  for (const { pid } of processes) if (readStat(pid)?.state === 'T') deliver(kill, pid, SIGCONT)
}

/** A shim that its worker has stopped reaps nobody, and would be waited for without end. */
export function wakeShim(shim: ProcIdentity): void {
  const stat = readStat(shim.pid)
  if (stat?.startTime === shim.startTime && stat.state === 'T') deliver(kill, shim.pid, SIGCONT)
}

/**
 * Its worker wrote over its record, or removed it: the shim looks at it at this signal, and writes it
 * anew.
 */
export function askForRecord(shim: ProcIdentity): void {
  if (isAlive(shim)) deliver(kill, shim.pid, SIGCONT)
}

/** @returns whether it is gone, within a second */
export async function killShim(shim: ProcIdentity): Promise<boolean> {
  deliver(kill, shim.pid, SIGKILL)
  for (let looks = 0; looks < 50 && isAlive(shim); looks++) await sleep(20)
  return !isAlive(shim)
}
