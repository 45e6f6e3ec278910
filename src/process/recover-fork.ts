/**
 * A fork as `recover` tells it: the spool's facts in the shape of the contract, its leases taken over, what
 * runs watched again.
 */
import { LogOffsets } from '../protocol/shapes.ts'
import { readJsonSync } from '../system/files.ts'
import { startedOf, watchFork, watchSavedAgain, type Fork, type HostContext } from './fork-life.ts'
import { readForkFiles, removeForkFiles, type ForkOnDisk } from './fork-files.ts'
import type { Recovered } from '../protocol/host.ts'
import { exitOf, unknownExit, type ForkRecord } from './records.ts'
import { findFork } from './find-fork.ts'
import type { Observer } from './observer.ts'
import type { SavedWatch } from './saved-watch.ts'
import { fileOf } from './spool.ts'

/**
 * @param hold  takes the fork in among those that the host knows
 * @returns null for what was never prepared to its end; it is removed
 */
export async function recoverFork(
  host: HostContext,
  forkId: string,
  hold: (fork: ForkOnDisk) => Fork,
): Promise<Recovered | null> {
  const { spoolDir } = host
  const onDisk = readForkFiles(spoolDir, forkId)
  if (onDisk === null) {
    removeForkFiles(spoolDir, forkId, { logs: true })
    return null
  }
  const found = await findFork(spoolDir, forkId, host.bootId)
  const fork = hold(onDisk)
  const facts: Recovered = {
    ...onDisk,
    phase: 'prepared',
    started: null,
    exit: null,
    stderrTail: [],
    errorFile: null,
    receipt: null,
    ranks: [],
    notes: (readJsonSync(fileOf.notes(fork.forkDir)) ?? {}) as Record<string, unknown>,
    logsFinal: null,
  }
  facts.logsFinal = LogOffsets.safeParse(facts.notes['logsFinal']).data ?? null
  if (found.kind === 'prepared' || found.kind === 'started') await host.leases.adopt(fork.spec, fork.prepared)
  else fork.aborted = true
  if (found.kind === 'cancelled' || found.kind === 'prepared') return { ...facts, phase: found.kind }
  if (found.kind === 'started') {
    let recovering = true
    const observer = watchFork(host, fork, {
      recovering: () => recovering,
      ownShim: () => found.record.shim,
    })
    fork.observer = observer
    fork.started = facts.started = startedOf(found.record, host.wall(), observer.facts.unreadable)
    observer.check(true)
    const saving = watchSavedAgain(host, fork)
    if (saving !== null) await settleEnd(saving, observer)
    recovering = false
    const { exit, stderrTail, errorFile, ranks, receipt, goneAt } = observer.facts
    return {
      ...facts,
      phase: receipt !== null ? 'gone' : exit !== null ? 'exited' : 'running',
      exit,
      stderrTail,
      errorFile,
      ranks,
      receipt: receipt && { ...receipt, ms: Math.max(0, (goneAt ?? 0) - (exit?.exitedAt ?? 0)) },
      ...(saving?.saved !== undefined && { saved: saving.saved }),
    }
  }
  const saving = watchSavedAgain(host, fork)
  await saving?.settle(true)
  return {
    ...facts,
    phase: 'gone',
    ...(saving?.saved !== undefined && { saved: saving.saved }),
    ...endOfLost(
      found.kind === 'rebooted' ? found.record : null,
      found.kind === 'rebooted'
        ? 'the machine was booted again'
        : 'the shim was killed before it started anything',
      host.wall(),
    ),
  }
}

/** An end is a fact when all that was printed before it has been looked at. */
async function settleEnd(saving: SavedWatch, observer: Observer): Promise<void> {
  for (let told = ''; ;) {
    const { exit, receipt } = observer.facts
    const now = `${exit !== null} ${receipt !== null}`
    if (now === told || exit === null) return
    told = now
    await saving.settle(receipt !== null)
    observer.check(true)
  }
}

/**
 * The end of a fork whose shim can tell no more: what it recorded, else that nobody knows. Nothing of it can
 * be left.
 */
function endOfLost(
  record: ForkRecord | null,
  reason: string,
  now: number,
): Pick<Recovered, 'started' | 'exit' | 'receipt'> {
  return {
    started: record === null ? null : startedOf(record, now, false),
    exit: record?.exit
      ? {
          ...exitOf(record.exit, () => null),
          exitedAt: record.exit.at,
          ...(record.exit.fenced && { fenced: true }),
        }
      : { ...unknownExit(reason), exitedAt: now },
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 0 },
  }
}
