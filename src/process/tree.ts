/**
 * Which processes belong to a fork, now. With a living shim they are its descendants, whatever they called
 * (it is their subreaper). When the shim was killed they are what the cgroup holds, or what can still be
 * found: the root's session, what carries the fork's marker in its environment, and all below these. Owns
 * finding; signals are kill.ts.
 */
import {
  below,
  descendantsOf,
  isAlive,
  isDead,
  readAll,
  readEnvironment,
  readStat,
  type ProcIdentity,
  type ProcStat,
} from '../system/proc.ts'
import { pidsOfCgroup } from './cgroup.ts'

export interface Tree {
  /** `NAME=value` in the environment of what belongs to the fork */
  marker: string
  shim: ProcIdentity | null
  /** root of the tree; a session of its own, so its pid is also a session's id */
  child: ProcIdentity | null
  /** the cgroup that the whole tree is in, or null */
  cgroup: string | null
}

/**
 * Ended processes that nobody has waited for are left out: nothing can be done to them, and their parent or
 * the shim will.
 */
export function membersOf(tree: Tree): ProcStat[] {
  if (hasShim(tree)) return descendantsOf(tree.shim!.pid).filter((stat) => !isDead(stat))
  const inCgroup = tree.cgroup === null ? null : pidsOfCgroup(tree.cgroup)
  const inside = (inCgroup ?? []).map(readStat).filter((stat) => stat !== null && !isDead(stat))
  return [...new Map([...inside, ...strays(tree)].map((stat) => [stat!.pid, stat!])).values()]
}

/** @param marker  `NAME=value`. Kernel threads have no environment */
export function carries({ pid, ppid }: ProcStat, marker: string): boolean {
  return ppid !== 2 && readEnvironment(pid)?.includes(marker) === true
}

/**
 * What can be found of a tree whose shim is dead. Complete only when nothing left the session and cleared its
 * environment.
 */
function strays({ marker, child }: Tree): ProcStat[] {
  const all = readAll()
  // a session's id is not given to a new process while anybody is in it, but the root's pid may be, once all
  // are gone
  const leader = child === null ? null : (all.find((stat) => stat.pid === child.pid) ?? null)
  const sessionIsOurs = child !== null && (leader === null || leader.startTime === child.startTime)
  const roots = all.filter(
    (stat) =>
      stat.pid !== process.pid && ((sessionIsOurs && stat.session === child.pid) || carries(stat, marker)),
  )
  const found = new Map(
    [...roots, ...below(new Set(roots.map((stat) => stat.pid)), all)].map((stat) => [stat.pid, stat]),
  )
  return [...found.values()].filter((stat) => !isDead(stat))
}

export function hasShim(tree: Tree): boolean {
  return tree.shim !== null && isAlive(tree.shim)
}

/**
 * The members' process groups that can be signalled as a whole, because all in them are members: a group
 * cannot be joined from another session. Never a group of the agent's session or the shim's (the child is
 * there until its setsid). Where members were found by their marker alone, only groups of sessions that are
 * seen to have begun inside: somebody may have typed the marker into a shell.
 */
export function groupsOf(tree: Tree, members: readonly ProcStat[]): Set<number> {
  const sure = hasShim(tree)
  const pids = new Set(members.map((stat) => stat.pid))
  const outside = new Set(
    [process.pid, ...(tree.shim === null ? [] : [tree.shim.pid])].map((pid) => readStat(pid)?.session),
  )
  const inside = (session: number): boolean =>
    sure ? !outside.has(session) : session === tree.child?.pid || pids.has(session)
  return new Set(members.filter((stat) => stat.pgrp > 1 && inside(stat.session)).map((stat) => stat.pgrp))
}
