/**
 * One started fork, watched until nothing of it is left: turns records into facts. Owns exit, ranks and
 * receipt of the fork, also when its shim was killed; leases, probes and the spool around it are the host's.
 *
 * While the shim lives its record is the truth. When it was killed the exit is unknown (unless it is
 * recorded), the tree is what can still be found, and the receipt says `unverified` where something could be
 * out of sight. What the record does not hold (such an end, survivors, whether a SIGKILL was for want of
 * memory) is written to verdict.json before it is told, so that the next agent says the same.
 */
import { existsSync } from 'node:fs'
import { isOutOfDescriptors } from '../system/descriptors.ts'
import { readJsonSync, replaceFileSync } from '../system/files.ts'
import { describe, type ProcIdentity, type ProcStat } from '../system/proc.ts'
import type { Receipt } from '../protocol/shapes.ts'
import { removeCgroup } from './cgroup.ts'
import { askForRecord, killMembers, killShim, QUIET_LOOKS, signalMembers, wakeShim } from './kill.ts'
import { errorFileText, stderrTail } from './last-words.ts'
import { leftBehind } from './left.ts'
import { wasOomKilled } from './oom.ts'
import type { HostExit } from '../protocol/host.ts'
import type { ForkFacts, ObserveOptions, Observer } from './observer.ts'
import { readRanks } from './ranks.ts'
import { recordReader } from './record-reader.ts'
import { exitOf, unknownExit } from './records.ts'
import { readSetUp } from './set-up.ts'
import { fileOf } from './spool.ts'
import { hasShim, membersOf, type Tree } from './tree.ts'
import { watchPaths } from './watch.ts'
import { whyNotRun } from './why-not-run.ts'

interface Verdict {
  /** wall time at which we began to end the tree by SIGKILL */
  killedAt?: number
  exit?: HostExit & { exitedAt: number }
  receipt?: Omit<Receipt, 'ms'> & { at: number }
}

const GONE: Omit<Receipt, 'ms'> = { outcome: 'gone', survivors: [], reason: null }
const KILLED = 'the shim was killed, and with it the knowledge of how its child ends'
const REMOVED = 'the directory of the fork was removed, and its shim ended without a record of the exit'
const UNREADABLE =
  'its record cannot be read: it was removed or written over, and its shim ended without another'
const DEAF = 'the shim does not end, though nothing of the tree is seen any more, and cannot be killed'

export function observeFork(options: ObserveOptions): Observer {
  const { forkId, forkDir, logDir, hasRanks, wall, emit, onEnd } = options
  const reader = recordReader(fileOf.record(forkDir), options.ownShim)
  const facts: ForkFacts = {
    record: reader.read(),
    unreadable: reader.unreadable,
    exit: null,
    stderrTail: [],
    errorFile: null,
    ranks: [],
    receipt: null,
    goneAt: null,
  }
  const verdict = (readJsonSync(fileOf.verdict(forkDir)) ?? {}) as Verdict
  let rankShims: readonly ProcIdentity[] = []
  let rankProcesses: ReadonlyMap<number, ProcIdentity> = new Map()
  let toldRanks = '[]'
  let quietLooks = 0
  let killing: Promise<void> | null = null
  let ended = false
  let closed = false
  let removed = false

  const tree = (): Tree => ({
    marker: options.marker,
    shim: facts.record.shim,
    child: facts.record.child,
    cgroup: facts.record.child?.inCgroup ? options.cgroup : null,
  })
  /** one process with the command: its file says which of the two ended */
  const inSetUp = (known: HostExit): HostExit => {
    const step = options.hasSetUp ? readSetUp(fileOf.setUp(forkDir)) : null
    return step === null ? known : { ...known, inSetUp: step }
  }
  const left = leftBehind(fileOf.left(forkDir), wall)
  /** all but the shims of ranks, which are ours */
  const runsOn = (): ProcStat[] =>
    membersOf(tree()).filter(({ pid }) => rankShims.every((shim) => shim.pid !== pid))
  /** of a service: what runs on when its root has ended */
  const withLeft = (known: HostExit): HostExit => {
    const count = options.isService && facts.record.emptyAt === null ? runsOn().length : 0
    return count === 0 ? known : { ...known, left: count }
  }
  const oom = (): boolean | null => wasOomKilled(tree().cgroup, options.oomKills)
  // asked once: the machine's count goes on, and what was told must not change
  const rankOoms = new Map<string, boolean | null>()
  const lostAt = new Map<string, number>()
  const oomOfRank = (name: string): boolean | null => {
    if (!rankOoms.has(name)) rankOoms.set(name, oom())
    return rankOoms.get(name)!
  }
  const judge = (addition: Verdict): void => {
    Object.assign(verdict, addition)
    try {
      replaceFileSync(fileOf.verdict(forkDir), JSON.stringify(verdict))
    } catch {
      // the disk is full: the next agent finds out for itself
    }
  }

  /** @returns log prefix of the rank that failed first */
  const lookAtRanks = (over: boolean): string | null => {
    if (!hasRanks) return null
    const { reports, shims, processes, firstFailed } = readRanks(fileOf.ranks(forkDir), {
      oom: oomOfRank,
      over,
      lostAt,
      killedAt: verdict.killedAt ?? null,
      root: facts.record.exit,
      now: wall(),
    })
    rankShims = shims
    rankProcesses = processes
    const text = JSON.stringify(reports)
    if (text !== toldRanks) {
      toldRanks = text
      facts.ranks = reports
      emit({ what: 'ranks', forkId, ranks: reports })
    }
    return firstFailed
  }

  const tellExit = (exit: HostExit, exitedAt: number): void => {
    const failedRank = lookAtRanks(false)
    const fenced = facts.record.exit?.fenced === true && { fenced: true }
    facts.exit = { ...exit, exitedAt, ...fenced }
    const failed = exit.code !== 0 || options.isService
    facts.stderrTail = stderrTail(logDir, exit.code === 0 ? null : failedRank, failed)
    const why = whyNotRun(forkDir, facts, exit, failedRank !== null, options.callerPath)
    if (why !== null) facts.stderrTail.push(why)
    facts.errorFile = errorFileText(fileOf.error(forkDir))
    emit({
      what: 'exited',
      forkId,
      exit,
      exitedAt,
      ...fenced,
      stderrTail: facts.stderrTail,
      errorFile: facts.errorFile,
    })
  }
  const tellReceipt = (receipt: Omit<Receipt, 'ms'>, at: number): void => {
    lookAtRanks(true)
    const ended = left.ended()
    facts.receipt = ended === undefined ? receipt : { ...receipt, left: ended }
    facts.goneAt = at
    emit({ what: 'empty', forkId, receipt: facts.receipt })
    if (receipt.outcome !== 'survivors') end()
  }
  const end = (): void => {
    if (ended) return
    ended = true
    stopWatching()
    reader.close()
    if (options.cgroup !== null) removeCgroup(options.cgroup)
    onEnd()
  }

  const shimIsDead = (): boolean => {
    if (facts.record.shim === null || hasShim(tree())) return false
    // its last words may have come after we read
    facts.record = reader.read()
    return facts.record.emptyAt === null
  }

  /** What its worker did to us: it may have removed the directory, or stopped the shim. */
  const mend = (): void => {
    if (facts.record.shim === null) return
    for (const shim of [facts.record.shim, ...rankShims]) wakeShim(shim)
    if (existsSync(fileOf.fork(forkDir))) return
    removed = true
    try {
      options.restore(facts.record)
    } catch {
      // the disk is full, or somebody removes it again: the next look tries it again
    }
  }

  const look = (thoroughly: boolean): void => {
    facts.record = reader.read()
    facts.unreadable = reader.unreadable
    if (facts.unreadable && facts.record.shim !== null) askForRecord(facts.record.shim)
    if (thoroughly) mend()
    if (thoroughly && facts.exit !== null) left.look()
    const orphaned = thoroughly && shimIsDead()
    const { exit, emptyAt } = facts.record
    if (facts.exit === null) {
      if (verdict.exit !== undefined) {
        const { exitedAt, ...judged } = verdict.exit
        tellExit(judged, exitedAt)
      } else if (exit !== null) {
        const known = exit.kind === 'status' ? withLeft(inSetUp(exitOf(exit, oom))) : exitOf(exit, oom)
        if (known.signal === 'SIGKILL' || known.left !== undefined)
          judge({ exit: { ...known, exitedAt: exit.at } })
        tellExit(known, exit.at)
      } else if (orphaned) {
        const unknown = unknownExit(removed ? REMOVED : reader.unreadable ? UNREADABLE : KILLED)
        judge({ exit: { ...unknown, exitedAt: wall() } })
        tellExit(unknown, verdict.exit!.exitedAt)
      } else return void lookAtRanks(false)
    }
    if (emptyAt !== null) return facts.receipt === null ? tellReceipt(GONE, emptyAt) : end()
    if (verdict.receipt !== undefined && facts.receipt === null) {
      const { at, ...receipt } = verdict.receipt
      return tellReceipt(receipt, at)
    }
    if (orphaned) lookForStrays()
  }

  /** Without a shim: twice nobody is as much as can be known. A cgroup is no proof, since it can be left. */
  const lookForStrays = (): void => {
    quietLooks = membersOf(tree()).length === 0 ? quietLooks + 1 : 0
    if (quietLooks < QUIET_LOOKS) return
    if (facts.receipt !== null) return end()
    const way = tree().cgroup === null ? 'left the session' : 'left the session and the cgroup'
    const why = reader.unreadable ? 'its record cannot be read' : 'the shim was killed'
    const reason = `${why}: a process that ${way} and carries no marker cannot be found`
    conclude({ outcome: 'unverified', survivors: [], reason })
  }

  const conclude = (receipt: Omit<Receipt, 'ms'>): void => {
    judge({ receipt: { ...receipt, at: wall() } })
    tellReceipt(receipt, verdict.receipt!.at)
  }

  const check = (thoroughly: boolean): void => {
    if (closed || ended) return
    try {
      look(thoroughly)
    } catch (error) {
      // nothing can be seen now: the next look will
      if (isOutOfDescriptors(error)) return
      throw error
    }
    options.onLook?.(facts.record)
  }

  const kill = async (): Promise<void> => {
    if (facts.exit !== null) left.signalled('SIGKILL', runsOn())
    if (verdict.killedAt === undefined) judge({ killedAt: wall() })
    const survivors = await killMembers(tree(), {
      spareFirst: new Set(rankShims.map(({ pid }) => pid)),
      ...(options.killBudgetMs !== undefined && { budgetMs: options.killBudgetMs }),
      isEmpty: () => {
        check(true)
        return closed || ended
      },
    })
    // without a shim the proof is ours to give: look until it is enough, not only at the next poll
    for (let i = 0; i < QUIET_LOOKS && survivors.length === 0; i++) check(true)
    if (facts.receipt !== null || closed) return
    if (survivors.length === 0) return endDeafShim()
    conclude({
      outcome: 'survivors',
      survivors: survivors.map((stat) => ({ pid: stat.pid, command: describe(stat) })),
      reason: null,
    })
  }

  /** It had the whole budget to say that its tree is empty: somebody traces it, or it hangs in the kernel. */
  const endDeafShim = async (): Promise<void> => {
    if (!hasShim(tree()) || (await killShim(facts.record.shim!))) {
      for (let i = 0; i < QUIET_LOOKS; i++) check(true)
      return
    }
    if (facts.receipt === null) conclude({ outcome: 'unverified', survivors: [], reason: DEAF })
  }

  const stopWatching = watchPaths(
    [fileOf.record(forkDir), ...(hasRanks ? [fileOf.ranks(forkDir)] : [])],
    () => check(false),
  )
  return {
    facts,
    get tree() {
      return tree()
    },
    check,
    signal(signal) {
      if (facts.exit !== null) left.signalled(signal, runsOn())
      signalMembers(tree(), signal)
    },
    rankProcess: (rank) => rankProcesses.get(rank) ?? null,
    rankProcesses: () => [...rankProcesses.values()],
    kill: () => (killing ??= kill().finally(() => (killing = null))),
    close() {
      closed = true
      stopWatching()
      reader.close()
    },
  }
}
