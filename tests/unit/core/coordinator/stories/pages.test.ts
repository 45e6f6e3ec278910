import type { WorkerRecord } from '../../../../../src/protocol/records.ts'
import { expect, test } from 'vitest'
import { encode } from '../../../../../src/protocol/codec.ts'
import { PAGE_BYTES_MAX } from '../../../../../src/protocol/pages.ts'
import { TABLE, type ReplyOf, type RowsOf } from '../../../../../src/protocol/table.ts'
import { coordinatorWith, type Story } from '../../../../support/coordinator-steps.ts'

function task(replicas: number): Record<string, unknown> {
  return { kind: 'task', command: ['true'], replicas, failFast: false }
}

type Lists = 'status' | 'list' | 'nodes' | 'plan'
/** All pages of a list, each checked against its row. */
function pagesOf<V extends Lists>(c: Story, verb: V, body: Record<string, unknown>) {
  const row = `coordinator.${verb}` as `coordinator.${V}` & RowsOf<'request'>
  const pages: ReplyOf<`coordinator.${V}`>[] = []
  for (let from: string | null | undefined; from !== null && pages.length < 1000;) {
    const { body: page, fault } = c.ask(verb, { ...body, ...(from !== undefined && { from }) })
    expect(fault).toBeUndefined()
    pages.push(TABLE[row].reply.parse(page) as ReplyOf<`coordinator.${V}`>)
    from = page.next as string | null
  }
  return pages
}
function fault(c: Story, verb: Lists, body: Record<string, unknown>) {
  return c.ask(verb, body).fault
}

test('a status in pages: every worker once, in order, and the head on each page', () => {
  const c = coordinatorWith({ n0: { cpus: 8 } })
  const run = c.launch({ roles: { a: task(3), b: task(2) } })
  const pages = pagesOf(c, 'status', { run, count: 2 })
  expect(pages.map((page) => page.workers.map((w) => `${w.role}/${w.index}`))).toEqual([
    ['a/0', 'a/1'],
    ['a/2', 'b/0'],
    ['b/1'],
  ])
  expect(pages.map((page) => page.next)).toEqual([`${run}/a/2`, `${run}/b/1`, null])
  for (const { roles } of pages)
    expect(roles).toMatchObject([
      { role: 'a', workers: 3, ready: 3, started: 3, wasReady: 3, ended: 0 },
      { role: 'b', workers: 2, ready: 2, started: 2, wasReady: 2, ended: 0 },
    ])
})

test('a status is asked for a role, or for one worker', () => {
  const c = coordinatorWith({ n0: { cpus: 8 } })
  const run = c.launch({ roles: { a: task(3), b: task(2) } })
  const asked = (body: Record<string, unknown>) =>
    pagesOf(c, 'status', { run, ...body }).flatMap((page) => page.workers.map((w) => `${w.role}/${w.index}`))
  expect(asked({ role: 'b' })).toEqual(['b/0', 'b/1'])
  expect(asked({ role: 'b', count: 1 })).toEqual(['b/0', 'b/1'])
  expect(asked({ role: 'a', index: 2 })).toEqual(['a/2'])
  expect(fault(c, 'status', { run, role: 'c' })).toMatchObject({ code: 'WORKER_NOT_FOUND' })
  expect(fault(c, 'status', { run, role: 'a', index: 3 })).toMatchObject({ code: 'WORKER_NOT_FOUND' })
  expect(fault(c, 'status', { run, index: 3 })).toMatchObject({ code: 'REQUEST_INVALID' })
})

test('a cursor of another run, another role, or none at all is refused with its text', () => {
  const c = coordinatorWith({ n0: { cpus: 8 } })
  const run = c.launch({ roles: { a: task(3), b: task(2) } })
  const other = c.launch({ roles: { a: task(3) } })
  for (const [body, from] of [
    [{ run }, `${other}/a/1`],
    [{ run }, run],
    [{ run }, `${run}/a`],
    [{ run }, `${run}/c/0`],
    [{ run }, '\u0007 garbage'],
    [{ run, role: 'b' }, `${run}/a/1`],
  ] as const)
    expect(fault(c, 'status', { ...body, from })).toMatchObject({
      code: 'REQUEST_INVALID',
      message: expect.stringContaining(JSON.stringify(from)),
    })
  for (const from of ['x', `${run}`, '12/', '/x', 'ended/7', `-1/${run}`])
    expect(fault(c, 'list', { from })).toMatchObject({ code: 'REQUEST_INVALID' })
  expect(fault(c, 'list', { all: true, from: 'ended/x' })).toMatchObject({ code: 'REQUEST_INVALID' })
  expect(fault(c, 'nodes', { from: 'a b' })).toMatchObject({ code: 'REQUEST_INVALID' })
  const document = { apiVersion: 'troupe/v1', name: 'p', roles: { a: task(2) } }
  expect(fault(c, 'plan', { document, from: 'a/2' })).toMatchObject({ code: 'REQUEST_INVALID' })
})

// of 10,000 on a real server: tests/integration/pages.test.ts
test('2,500 workers with eight ranks each: every page fits, as JSON and as msgpack', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { first: task(1), a: { ...task(2500), dependsOn: { first: 'done' } } } })
  const role = c.state.runs.get(run)!.byRole.get('a')!
  const exit = { code: 1, signal: null, oom: false, unknown: null, killedBy: null }
  for (const { record } of role.workers) {
    const last: WorkerRecord['last'] = {
      exit,
      receipt: { outcome: 'gone', survivors: [], reason: null, ms: 0.5 },
      stderrTail: [],
      startedAt: 1_700_000_000_000,
      exitedAt: 1_700_000_001_000,
      pid: 123_456,
      addr: '10.0.0.1:12345',
      ports: [12_345],
      gpus: ['0', '1', '2', '3', '4', '5', '6', '7'],
      ranks: Array.from({ length: 8 }, (_, localRank) => ({
        rank: record.index * 8 + localRank,
        localRank,
        restart: 0,
        pid: 123_456,
        state: 'exited' as const,
        exit,
        startedAt: 1_700_000_000_000,
        exitedAt: 1_700_000_001_000,
      })),
    }
    Object.assign(record, { phase: 'ended', node: 'n0', attempt: 1, last })
  }
  // ranks are shown of torchrun alone
  Object.assign(role.spec, { kind: 'torchrun' })
  const pages = pagesOf(c, 'status', { run, role: 'a', count: 1e9 })
  expect(pages.length).toBeGreaterThan(3)
  for (const page of pages)
    for (const form of ['json', 'msgpack'] as const)
      expect(encode(page, form).length).toBeLessThan(PAGE_BYTES_MAX + 10_000)
  const workers = pages.flatMap((page) => page.workers)
  expect(new Set(workers.map((w) => w.worker)).size).toBe(2500)
  expect(workers.every((w) => w.ranks.length === 8)).toBe(true)
})

test('explain of a large role names the first fifty workers that are not ready, as of a large run', () => {
  const c = coordinatorWith()
  const run = c.launch({ roles: { first: task(1), a: { ...task(5000), dependsOn: { first: 'done' } } } })
  for (const worker of c.state.runs.get(run)!.byRole.get('a')!.workers)
    Object.assign(worker.record, { phase: 'placed', node: 'n0', attempt: 1 })
  for (const target of [{ run }, { run, role: 'a' }])
    expect(c.ask('explain', target).body.lines.length).toBeLessThanOrEqual(51)
})

test('runs in pages, newest first; a run that comes or goes between two pages moves no other', () => {
  const c = coordinatorWith({ n0: { cpus: 8 } })
  const runs = [1, 2, 3, 4].map(() => {
    c.advance(10)
    return c.launch({ roles: { a: task(1) } })
  })
  const first = c.ask('list', { count: 2 }).body as ReplyOf<'coordinator.list'>
  expect(first.runs.map((run) => run.run)).toEqual([runs[3], runs[2]])
  c.launch({ roles: { a: task(1) } })
  c.state.runs.delete(runs[1]!)
  const second = c.ask('list', { count: 2, from: first.next }).body as ReplyOf<'coordinator.list'>
  expect(second).toMatchObject({ runs: [{ run: runs[0] }], next: null })
})

test('with all the last page of the memory goes on in the archive, which knows what the memory has', () => {
  const c = coordinatorWith({ n0: { cpus: 8 } })
  const run = c.launch({ roles: { a: task(1) } })
  c.exit(run, 'a/0', { code: 0 })
  c.forget()
  c.ask('list', { all: true, count: 7 })
  expect(c.commands).toMatchObject([
    { kind: 'reply-from-archive', verb: 'list', runs: [{ run }], count: 7, before: null, inMemory: [run] },
  ])
  c.forget()
  c.ask('list', { all: true, from: 'ended/12' })
  expect(c.commands).toMatchObject([{ kind: 'reply-from-archive', runs: [], before: 12 }])
})

test('nodes in pages, by name; a node with 10,000 forks that nobody knows is one line with their number', () => {
  const c = coordinatorWith({ n2: {}, n0: {}, n1: {} })
  for (let i = 0; i < 10_000; i++) c.state.nodes.get('n1')!.unowned.set(`job.a.${i}.1`, { gpus: 0, cpus: 0 })
  const pages = pagesOf(c, 'nodes', { count: 2 })
  expect(pages.map((page) => page.nodes.map((node) => node.node))).toEqual([['n0', 'n1'], ['n2']])
  expect(pages[0]!.nodes[1]).toMatchObject({ unownedCount: 10_000 })
  expect(pages[0]!.nodes[1]!.unowned).toHaveLength(100)
})

test('a plan in pages: the launch comes with the first, each worker once', () => {
  const c = coordinatorWith({ n0: { cpus: 8 } })
  const document = { apiVersion: 'troupe/v1', name: 'p', roles: { a: task(3), b: task(2) } }
  const pages = pagesOf(c, 'plan', { document, count: 2 })
  expect(pages.map((page) => page.launch?.name ?? null)).toEqual(['p', null, null])
  expect(pages.flatMap((page) => page.placements)).toEqual(
    ['a/0', 'a/1', 'a/2', 'b/0', 'b/1'].map((worker) => ({ worker, node: 'n0' })),
  )
})
