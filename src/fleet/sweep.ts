/**
 * End the workers in the spools of nodes whose agents are gone, by opening each spool as its agent would.
 * The next agent finds true exits and receipts there. `down` calls this also after the coordinator ended all
 * runs, so that nothing is overlooked.
 */
import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Cause } from '../protocol/causes.ts'
import { isFault } from '../protocol/faults.ts'
import { isName, workerIdOf } from '../protocol/names.ts'
import { createLinuxHost } from '../process/linux-host.ts'
import { readRecord } from '../process/records.ts'
import { fileOf, forkDirOf, wasStarted } from '../process/spool.ts'
import type { Recovered } from '../protocol/host.ts'
import type { ProcessHost } from '../process/process-host.ts'
import type { Receipt, WorkerReceipt } from '../protocol/shapes.ts'
import { heardReceipts } from './heard-receipts.ts'
import type { FleetLayout } from './layout.ts'

/** SIGKILL works at once or not at all; the shim needs a moment to say that nothing is left. */
const EMPTY_MS = 10_000

/** Nodes that ever had a spool here. */
export async function listNodes(layout: FleetLayout): Promise<string[]> {
  return (await readdir(layout.nodes).catch(() => [])).filter(isName).toSorted()
}

/**
 * Does its spool hold a fork that was not released: `live`, a tree of which nobody has seen the end;
 * `untold`, also an end that no coordinator has heard?
 */
export async function hasForks(
  layout: FleetLayout,
  node: string,
  which: 'live' | 'untold',
): Promise<boolean> {
  const { spool } = layout.node(node)
  const forks = await readdir(join(spool, 'forks')).catch(() => [])
  return forks.some((forkId) => {
    if (which === 'untold') return true
    const dir = forkDirOf(spool, forkId)
    return (
      wasStarted(dir) && readRecord(fileOf.record(dir)).emptyAt === null && !existsSync(fileOf.verdict(dir))
    )
  })
}

/** @param killedBy  the cause that stays in the records */
export async function sweepNode(
  layout: FleetLayout,
  node: string,
  killedBy: Cause,
  say: (line: string) => void,
): Promise<WorkerReceipt[]> {
  const { spool, caches } = layout.node(node)
  // it only ends: no shim is ever started from here
  const host = createLinuxHost({ spoolDir: spool, node, agentEnv: {}, shim: [], cacheDir: caches })
  const receiptOf = heardReceipts(host)
  try {
    const forks = await host.recover()
    for (const fork of forks) if (fork.phase === 'prepared') await host.cancel(fork.spec.forkId)
    const live = forks.filter((fork) => fork.phase === 'running' || fork.phase === 'exited')
    if (live.length > 0)
      say(`ending ${live.length} ${live.length === 1 ? 'worker' : 'workers'} on ${node}, whose agent is gone`)
    return await Promise.all(live.map((fork) => endFork(host, fork, killedBy, receiptOf(fork.spec.forkId))))
  } catch (error) {
    // somebody has started an agent for it meanwhile: the spool is that one's
    if (isFault(error, 'LOCKED')) return []
    throw error
  } finally {
    await host.close()
  }
}

async function endFork(
  host: ProcessHost,
  { spec, phase, notes }: Recovered,
  killedBy: Cause,
  heard: Promise<Omit<Receipt, 'ms'>>,
): Promise<WorkerReceipt> {
  const { forkId, run, role, index } = spec
  const started = performance.now()
  if (phase === 'running')
    await host.note(forkId, { ...notes, stop: { killedBy, signal: null, graceMs: 0 } }).catch(() => undefined)
  void host.killTree(forkId)
  const patience = new AbortController()
  const receipt = await Promise.race([
    heard,
    sleep(EMPTY_MS, undefined, patience).then((): Omit<Receipt, 'ms'> => ({
      outcome: 'unverified',
      survivors: [],
      reason: `nothing was heard within ${EMPTY_MS / 1000} s`,
    })),
  ])
  patience.abort()
  return {
    worker: workerIdOf(run, role, index),
    forkId,
    ...receipt,
    ms: Math.round(performance.now() - started),
  }
}
