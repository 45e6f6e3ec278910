/**
 * Shared by the files of tests/unit/client/logs: a fake fleet for each test, readers of its logs, and ends of
 * its run. The names are live: `fleet` is that of the test that runs.
 */
import { afterEach, beforeEach } from 'vitest'
import type { LogItem, LogOptions } from '../../src/client/logs/items.ts'
// troupe.logs loads it when it is called: on a loaded machine that is seconds, and no test's own
import '../../src/client/logs/read.ts'
import { collect, exited, fakeFleet, RUN, runStatus, until, worker, type FakeFleet } from './fake-fleet.ts'

export let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
})
afterEach(() => fleet.close())

export const FORK = `${RUN}.main.0.1`
export const PEER = `${RUN}.main.1.1`
export function running(): void {
  return void fleet.statuses.set(RUN, runStatus())
}
export function done(workers = [worker('main', 0, exited(0))]): void {
  return void fleet.statuses.set(RUN, runStatus({ state: 'succeeded', code: 0, endedAt: 1, workers }))
}
export async function end(forkIds = [FORK], workers = [worker('main', 0, exited(0))]): Promise<void> {
  for (const forkId of forkIds) fleet.final.add(forkId)
  done(workers)
  for (const forkId of forkIds) await fleet.workerEvent('logs-final', forkId, { logsFinal: {} })
}
export function torch(ranks: number[]) {
  const exit = { code: 0, signal: null, oom: null, unknown: null, killedBy: null }
  const status = runStatus({
    state: 'succeeded',
    code: 0,
    endedAt: 1,
    workers: [
      worker('main', 0, {
        ...exited(0),
        ranks: ranks.map((rank) => ({
          rank,
          localRank: rank,
          restart: 0,
          pid: 1,
          state: 'exited' as const,
          exit,
          startedAt: 1,
          exitedAt: 2,
        })),
      }),
    ],
  })
  status.roles[0]!.kind = 'torchrun'
  return status
}
export function show(item: LogItem): string {
  return item.kind === 'line'
    ? `${item.prefix} ${item.text}`
    : item.kind === 'gap'
      ? `gap ${item.offset}-${item.to} ${item.why}`
      : `chunk ${item.offset}+${item.bytes.length}`
}
export async function read(ref: string, options: LogOptions = {}): Promise<string[]> {
  return (await collect(fleet.troupe.logs(ref, options))).map(show)
}
/** A follower that listens already, with what it has given out so far. */
export async function following(ref: string, options: LogOptions = {}) {
  const items: string[] = []
  const follow = async (): Promise<string[]> => {
    for await (const item of fleet.troupe.logs(ref, { follow: true, ...options })) items.push(show(item))
    return items
  }
  const end = follow()
  end.catch(() => {})
  await fleet.nextAsked('status')
  return { end, has: (count: number) => until(`${count} items`, () => items.length >= count) }
}
export async function bytesOf(ref: string, options: LogOptions): Promise<Buffer> {
  return Buffer.concat(
    (await collect(fleet.troupe.logs(ref, { raw: true, ...options }))).map((item) =>
      item.kind === 'chunk' ? item.bytes : Buffer.from('GAP'),
    ),
  )
}
