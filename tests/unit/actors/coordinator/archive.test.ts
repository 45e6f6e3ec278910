import { afterEach, beforeEach, expect, test } from 'vitest'
import { archiveAtLast, archiveOn, type Archive } from '../../../../src/actors/coordinator/archive.ts'
import { Fault } from '../../../../src/protocol/faults.ts'
import { PAGE_BYTES_MAX } from '../../../../src/protocol/pages.ts'
import type { RunStatus } from '../../../../src/protocol/shapes.ts'
import { rootOf } from '../../../../src/protocol/subjects.ts'
import { streamOf } from '../../../../src/protocol/table.ts'
import { messengerOn } from '../../../../src/transport/messenger.ts'
import { ensureStreams } from '../../../../src/transport/streams.ts'
import type { Bus } from '../../../../src/transport/bus.ts'
import { exited, runStatus, worker } from '../../../support/fake-fleet.ts'
import { memoryFleet } from '../../../support/memory-fleet.ts'

const FLEET = 'main'
const STREAM = streamOf(FLEET, 'ARCHIVE')
let fleet: Awaited<ReturnType<typeof memoryFleet>>
let bus: Bus
let archive: Archive
let logged: Record<string, unknown>[]

beforeEach(async () => {
  fleet = await memoryFleet()
  bus = await fleet.connect('coordinator')
  await ensureStreams(bus, FLEET)
  logged = []
  archive = archiveOn({
    bus,
    messenger: messengerOn(bus, FLEET),
    fleet: FLEET,
    log: (fields) => void logged.push(fields),
  })
})
afterEach(() => fleet.close())

function ended(run: string, roles: Record<string, number>): RunStatus {
  const workers = Object.entries(roles).flatMap(([role, count]) =>
    Array.from({ length: count }, (_, index) => worker(role, index, exited(0), run)),
  )
  return runStatus({ run, state: 'succeeded', code: 0, endedAt: 2, workers })
}
async function pagesOf(query: { run: string; role?: string; index?: number; count?: number }) {
  const pages = [(await archive.status(query))!]
  for (let from = pages[0]!.next; from !== null; from = pages.at(-1)!.next)
    pages.push((await archive.status({ ...query, from }))!)
  return pages
}
async function listed(count?: number, runs: [] = [], inMemory: string[] = []) {
  const names: string[][] = []
  for (let before: number | null = null, more = true; more;) {
    const page = await archive.list({ runs, count, before, inMemory })
    names.push(page.runs.map((run) => run.run))
    more = page.next !== null
    before = Number(page.next?.replace('ended/', ''))
  }
  return names
}
const RUN = 'big-0123456789ab'

test('a small run is one message, and is read as it was written', async () => {
  const status = ended(RUN, { a: 3 })
  await archive.put(status)
  expect((await bus.getMessages(STREAM, { seq: 1, count: 10 })).length).toBe(1)
  expect(await archive.status({ run: RUN })).toEqual({ ...status, next: null })
})

test('20,000 workers: parts that fit, and pages that have every worker once, in order', async () => {
  const status = ended(RUN, { a: 12_000, b: 8000 })
  await archive.put(status)
  const parts = await bus.getMessages(STREAM, { seq: 1, count: 1000 })
  expect(parts.length).toBeGreaterThan(5)
  for (const { body } of parts) expect(body.length).toBeLessThan(PAGE_BYTES_MAX + 10_000)
  // names: to compare 20,000 workers field by field takes longer than to write and read them
  const namesOf = (pages: { workers: { worker: string }[] }[]): string =>
    pages.flatMap((page) => page.workers.map((w) => w.worker)).join()
  expect(namesOf(await pagesOf({ run: RUN }))).toBe(namesOf([status]))
  const few = await pagesOf({ run: RUN, role: 'b', count: 3000 })
  expect(namesOf(few)).toBe(namesOf([{ workers: status.workers.slice(12_000) }]))
  expect((await pagesOf({ run: RUN, role: 'b', index: 7999 }))[0]!.workers).toEqual([status.workers.at(-1)])
})

test('a run of several parts: its workers are read as they were written', async () => {
  const status = ended(RUN, { a: 1500, b: 1000 })
  await archive.put(status)
  expect((await pagesOf({ run: RUN })).flatMap((page) => page.workers)).toEqual(status.workers)
})

test('a role or worker that it never had is not found; a cursor of another run is refused', async () => {
  await archive.put(ended(RUN, { a: 3, b: 1 }))
  await expect(archive.status({ run: RUN, role: 'c' })).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
  await expect(archive.status({ run: RUN, role: 'a', index: 3 })).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
  })
  for (const query of [{ from: 'other-0123456789ab/a/0' }, { from: 'x' }, { role: 'b', from: `${RUN}/a/0` }])
    await expect(archive.status({ run: RUN, ...query })).rejects.toMatchObject({
      code: 'REQUEST_INVALID',
      message: expect.stringContaining(JSON.stringify(query.from)),
    })
})

test('a run of which part 0 is missing was never archived whole: it is not there', async () => {
  await archive.put(ended(RUN, { a: 3000 }))
  const parts = await bus.getMessages(STREAM, { seq: 1, count: 100 })
  expect(parts.at(-1)!.subject).toBe(`${rootOf(FLEET)}.archive.${RUN}.0`)
  await bus.purge(STREAM, { beforeSeq: parts.at(-1)!.seq + 1, subject: parts.at(-1)!.subject })
  expect(await archive.status({ run: RUN })).toBeNull()
  expect(await listed()).toEqual([[]])
})

test('a part that the stream has dropped is named, and nothing is left out in silence', async () => {
  await archive.put(ended(RUN, { a: 3000 }))
  const [first] = await bus.getMessages(STREAM, { seq: 1, count: 1 })
  await bus.purge(STREAM, { beforeSeq: first!.seq + 1 })
  await expect(pagesOf({ run: RUN })).rejects.toMatchObject({ code: 'GONE' })
})

test('the list goes back through the archive, last ended first, past the parts of large runs', async () => {
  const runs = Array.from({ length: 30 }, (_, i) => `r${i}-0123456789ab`)
  for (const run of runs) await archive.put(ended(run, { a: run.startsWith('r7-') ? 3000 : 1 }))
  expect((await listed(7)).flat()).toEqual(runs.toReversed())
  expect((await listed(undefined, [], [runs[3]!])).flat()).not.toContain(runs[3])
})

test('1,100 ended runs: pages of a bounded look each, every run once', async () => {
  const runs = Array.from({ length: 1100 }, (_, i) => `r${i}-0123456789ab`)
  for (const run of runs) await archive.put(ended(run, { a: 1 }))
  const pages = await listed()
  expect(pages.length).toBe(3)
  expect(pages.flat()).toEqual(runs.toReversed())
})

test('a status that the bus does not take now is tried again; one that it never takes is given up, and said', async () => {
  const status = ended(RUN, { a: 1 })
  const faults = [new Fault('CONN', 'away'), new Fault('PERMISSION', 'not yet')]
  const again: number[] = []
  const options = {
    log: (fields: Record<string, unknown>) => void logged.push(fields),
    after: (ms: number, fn: () => void) => (again.push(ms), fn()),
  }
  const put = async (): Promise<void> => {
    const fault = faults.shift()
    if (fault !== undefined) throw fault
  }
  await archiveAtLast({ put }, status, options)
  expect(again).toEqual([500, 500])
  for (const error of [new Fault('REQUEST_INVALID', '5 MB'), new Error('does not fit its row')]) {
    faults.push(error as Fault)
    await archiveAtLast({ put }, status, options)
    expect(logged.at(-1)).toMatchObject({ level: 'error', run: RUN })
  }
  expect(again).toHaveLength(2)
})

test('the list says so when the stream has dropped runs, and when it cannot be read', async () => {
  await archive.put(ended('a-0123456789ab', { a: 1 }))
  await archive.put(ended('b-0123456789ab', { a: 1 }))
  await bus.purge(STREAM, { beforeSeq: 2 })
  const ask = () => archive.list({ runs: [], count: undefined, before: null, inMemory: [] })
  expect(await ask()).toMatchObject({
    runs: [{ run: 'b-0123456789ab' }],
    partial: expect.stringMatching(/drop/),
  })
  await fleet.cut()
  expect(await ask()).toMatchObject({
    runs: [],
    partial: expect.stringMatching(/cannot be read/),
    next: null,
  })
  expect(logged).toHaveLength(1)
})
