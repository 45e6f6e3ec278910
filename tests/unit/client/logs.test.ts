import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { LogItem, LogOptions } from '../../../src/client/logs/items.ts'
// troupe.logs loads it when it is called: on a loaded machine that is seconds, and no test's own
import '../../../src/client/logs/read.ts'
import {
  collect,
  exited,
  fakeFleet,
  pending,
  RUN,
  runStatus,
  sleepMs,
  until,
  worker,
  type FakeFleet,
} from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => {
  fleet = await fakeFleet()
})
afterEach(() => fleet.close())

const FORK = `${RUN}.main.0.1`
const PEER = `${RUN}.main.1.1`
function running(): void {
  return void fleet.statuses.set(RUN, runStatus())
}
function done(workers = [worker('main', 0, exited(0))]): void {
  return void fleet.statuses.set(RUN, runStatus({ state: 'succeeded', code: 0, endedAt: 1, workers }))
}
async function end(forkIds = [FORK], workers = [worker('main', 0, exited(0))]): Promise<void> {
  for (const forkId of forkIds) fleet.final.add(forkId)
  done(workers)
  for (const forkId of forkIds) await fleet.workerEvent('logs-final', forkId, { logsFinal: {} })
}
function torch(ranks: number[]) {
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
function show(item: LogItem): string {
  return item.kind === 'line'
    ? `${item.prefix} ${item.text}`
    : item.kind === 'gap'
      ? `gap ${item.offset}-${item.to} ${item.why}`
      : `chunk ${item.offset}+${item.bytes.length}`
}
async function read(ref: string, options: LogOptions = {}): Promise<string[]> {
  return (await collect(fleet.troupe.logs(ref, options))).map(show)
}
/** A follower that listens already, with what it has given out so far. */
async function following(ref: string, options: LogOptions = {}) {
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
async function bytesOf(ref: string, options: LogOptions): Promise<Buffer> {
  return Buffer.concat(
    (await collect(fleet.troupe.logs(ref, { raw: true, ...options }))).map((item) =>
      item.kind === 'chunk' ? item.bytes : Buffer.from('GAP'),
    ),
  )
}

test('lines carry their worker, and come in the order of time across workers [A-33 U-05 +A22]', async () => {
  await fleet.write(FORK, 'stdout', 'one\n')
  await fleet.write(PEER, 'stdout', 'two\n')
  await fleet.write(FORK, 'stderr', 'three\n')
  await fleet.write(PEER, 'stdout', 'four')
  await end([FORK, PEER], [worker('main', 0, exited(0)), worker('main', 1, exited(0))])
  expect(await read(RUN)).toEqual(['[main/0] one', '[main/1] two', '[main/0] three', '[main/1] four'])
})

test('ranks of a torchrun role carry their global rank, beside torchrun’s own output [A-33 +A22]', async () => {
  await fleet.write(FORK, 'stdout', 'torchrun says\n')
  await fleet.write(FORK, 'r11-stdout', 'rank says\n')
  await end()
  fleet.statuses.get(RUN)!.roles[0]!.kind = 'torchrun'
  expect(await read(RUN)).toEqual(['[main/0] torchrun says', '[main:11] rank says'])
  expect(await read(`${RUN}/main:11`)).toEqual(['[main:11] rank says'])
  expect(await read(RUN, { rank: 11 })).toEqual(['[main:11] rank says'])
})

test('an attempt, a source or a rank that is not there is an error, never an empty answer [FC-24]', async () => {
  await fleet.write(FORK, 'stdout', 'one\n')
  await end()
  await expect(read(RUN, { attempt: 2 })).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    hint: 'the latest is 1',
  })
  await expect(read(RUN, { attempt: 0 })).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
  await expect(read(RUN, { source: 'stdot' })).rejects.toMatchObject({
    code: 'USAGE',
    message: expect.stringContaining("'stdot'"),
  })
  await expect(read(RUN, { rank: 3 })).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('no torchrun role'),
  })
  await expect(read(`${RUN}/main:3`)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('it has no ranks'),
  })
  fleet.statuses.set(RUN, torch([0, 1]))
  await expect(read(RUN, { rank: 2 })).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    message: expect.stringContaining('the last is 1'),
  })
  const two = torch([0, 1])
  two.workers.push({
    ...two.workers[0]!,
    worker: `${RUN}/main/1`,
    index: 1,
    forkId: PEER,
    ranks: two.workers[0]!.ranks.splice(1),
  })
  fleet.statuses.set(RUN, two)
  await expect(read(`${RUN}/main/1`, { rank: 0 })).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    hint: `it is one of ${RUN}/main/0`,
  })
})

test('--raw is the bytes of the file: 1 MB lines, binary, no newline at the end [FC-13]', async () => {
  const bytes = Buffer.concat([
    Buffer.alloc(1_000_000, 'x'),
    Buffer.from('\n'),
    randomBytes(700_000),
    Buffer.from([0, 255, 10, 13]),
  ])
  for (let at = 0; at < bytes.length; at += 200_000)
    await fleet.write(FORK, 'stdout', bytes.subarray(at, at + 200_000))
  await end()
  expect((await bytesOf(RUN, { stream: 'stdout' })).equals(bytes)).toBe(true)
})

test('--raw of several sources is refused and names them; one by its stream is given', async () => {
  await fleet.write(FORK, 'stdout', 'out')
  await fleet.write(FORK, 'stderr', 'err')
  await end()
  await expect(read(RUN, { raw: true })).rejects.toMatchObject({
    code: 'USAGE',
    exitCode: 2,
    message: expect.stringMatching(/main\/0 stdout, main\/0 stderr/),
  })
  expect((await bytesOf(RUN, { stream: 'stderr' })).toString()).toBe('err')
})

test('--raw -f gives the file’s bytes while they come and ends when the log is complete', async () => {
  running()
  await fleet.write(FORK, 'stdout', 'past,')
  const reading = bytesOf(RUN, { stream: 'stdout', follow: true })
  await fleet.nextAsked('status')
  await fleet.write(FORK, 'stdout', 'live,')
  await fleet.write(FORK, 'stdout', 'unshipped', false)
  await end()
  expect((await reading).toString()).toBe('past,live,unshipped')
})

test('-f on a run that has not started waits, says why, and shows all of it', async () => {
  fleet.statuses.set(
    RUN,
    runStatus({ state: 'pending', reason: 'waiting for nodes', workers: [worker('main', 0, pending)] }),
  )
  const why: string[] = []
  const reader = await following(RUN, { onTrouble: (text) => why.push(text) })
  await until('it says why', () => why.length > 0)
  running()
  await fleet.runEvent('running')
  await fleet.write(FORK, 'stdout', 'hello\n')
  await reader.has(1)
  await end()
  expect(await reader.end).toEqual(['[main/0] hello'])
  expect(why[0]).toContain('waiting for nodes')
})

test('without -f a run that has not started has no logs', async () => {
  fleet.statuses.set(RUN, runStatus({ state: 'pending', workers: [worker('main', 0, pending)] }))
  expect(await read(RUN)).toEqual([])
})

test('chunks that come twice or overlap are given once', async () => {
  running()
  await fleet.write(FORK, 'stdout', 'a\n')
  const reader = await following(RUN)
  await reader.has(1)
  await fleet.write(FORK, 'stdout', 'b\n')
  // shipped again from the beginning, as after a lost ack
  fleet.files.get(FORK)!.set('stdout', Buffer.alloc(0))
  await fleet.write(FORK, 'stdout', 'a\nb\nc\n')
  await end()
  expect(await reader.end).toEqual(['[main/0] a', '[main/0] b', '[main/0] c'])
})

test('bytes that were shipped while the link was down are got from the node: none missing, none twice [FC-5]', async () => {
  running()
  const reader = await following(RUN)
  await fleet.write(FORK, 'stdout', '1\n')
  await reader.has(1)
  fleet.client.setLink(false)
  await fleet.write(FORK, 'stdout', '2\n')
  await fleet.write(FORK, 'stdout', '3\n')
  fleet.client.setLink(true)
  await fleet.write(FORK, 'stdout', '4\n')
  await reader.has(4)
  await end()
  expect(await reader.end).toEqual(['[main/0] 1', '[main/0] 2', '[main/0] 3', '[main/0] 4'])
})

/**
 * A follower that has heard the first and the third line, while the node that has the second does not answer.
 */
async function followerWithHole(): Promise<{ reading: Promise<string[]> }> {
  running()
  const reader = await following(RUN)
  await fleet.write(FORK, 'stdout', '1\n')
  await reader.has(1)
  fleet.agent(false)
  await fleet.write(FORK, 'stdout', '2\n', false)
  await fleet.write(FORK, 'stdout', '3\n')
  return { reading: reader.end }
}

test('a follower whose node is silent for a while names no gap: what is missing comes when it answers again [FC-5]', async () => {
  const { reading } = await followerWithHole()
  await sleepMs(50)
  fleet.agent(true)
  await fleet.write(FORK, 'stdout', '4\n')
  await end()
  expect(await reading).toEqual(['[main/0] 1', '[main/0] 2', '[main/0] 3', '[main/0] 4'])
})

test('a link that breaks while the past is read is waited for: no gap', async () => {
  const piece = Buffer.alloc(200_000, 'p')
  for (let i = 0; i < 5; i++) await fleet.write(FORK, 'stdout', piece, false)
  await end()
  const seen: LogItem['kind'][] = []
  for await (const item of fleet.troupe.logs(RUN, { raw: true, stream: 'stdout' })) {
    seen.push(item.kind)
    if (seen.length > 1) continue
    fleet.client.setLink(false)
    setTimeout(() => fleet.client.setLink(true), 300)
  }
  expect(new Set(seen)).toEqual(new Set(['chunk']))
})

test('a node that is silent to the end: what the relay has beyond the hole is given, and the hole is named', async () => {
  const { reading } = await followerWithHole()
  await fleet.record(FORK, 'stdout', { kind: 'final', generation: 0, bytes: 6, lost: [] })
  await end()
  expect(await reading).toEqual(['[main/0] 1', 'gap 2-4 its node does not answer', '[main/0] 3'])
}, 20_000)

test('a long past is read from the relay as far as it has it, from the spool where it has not: byte for byte', async () => {
  const piece = (letter: string): Buffer => Buffer.alloc(700_000, letter)
  await fleet.write(FORK, 'stdout', piece('a'), false)
  await fleet.write(FORK, 'stdout', piece('b'))
  await fleet.write(FORK, 'stdout', piece('c'), false)
  await fleet.write(FORK, 'stdout', piece('d'))
  await fleet.write(FORK, 'stdout', piece('e'), false)
  await end()
  const got = await bytesOf(RUN, { stream: 'stdout' })
  expect(got.equals(Buffer.concat(['a', 'b', 'c', 'd', 'e'].map(piece)))).toBe(true)
})

test('the relay has lost the beginning: it comes from the spool', async () => {
  await fleet.write(FORK, 'stdout', 'old\n', false)
  await fleet.write(FORK, 'stdout', 'new\n')
  await end()
  expect(await read(RUN)).toEqual(['[main/0] old', '[main/0] new'])
})

test('the node is gone: the relay has all that was shipped, and what is not known is named', async () => {
  await fleet.write(FORK, 'stdout', 'shipped\n')
  running()
  fleet.agent(false)
  expect(await read(RUN)).toEqual(['[main/0] shipped', 'gap 8-null no node answers for it'])
  expect((await bytesOf(RUN, { stream: 'stdout' })).toString()).toBe('shipped\nGAP')
})

test('the node is gone, but the relay has it to its final record: nothing is missing', async () => {
  await fleet.write(FORK, 'stdout', 'all of it\n')
  await fleet.record(FORK, 'stdout', { kind: 'final', generation: 0, bytes: 10, lost: [] })
  done()
  fleet.agent(false)
  expect(await read(RUN)).toEqual(['[main/0] all of it'])
  expect(await read(RUN, { follow: true })).toEqual(['[main/0] all of it'])
})

test('a range that the agent gave up is a gap with its reason, and the rest goes on', async () => {
  await fleet.write(FORK, 'stdout', 'aaaa')
  await fleet.write(FORK, 'stdout', 'bbbb', false)
  await fleet.record(FORK, 'stdout', { kind: 'lost', generation: 0, from: 4, to: 8, why: 'over the cap' })
  await fleet.write(FORK, 'stdout', 'cccc\n')
  await end()
  expect(await read(RUN)).toEqual(['[main/0] aaaa', 'gap 4-8 over the cap', '[main/0] cccc'])
})

test('bytes below the floor are read from the relay, else named', async () => {
  await fleet.write(FORK, 'stdout', '0123456789', false)
  fleet.floors.set(`${FORK} stdout`, 6)
  await end()
  expect(await read(`${RUN}/main/0`)).toEqual(['gap 0-6 no longer kept', '[main/0] 6789'])
})

test('a program that truncated its file begins again at 0, and what stood before is shown', async () => {
  await fleet.write(FORK, 'stderr', 'before\n')
  await fleet.record(FORK, 'stderr', { kind: 'truncated', generation: 1, bytes: 7 })
  fleet.files.get(FORK)!.set('stderr', Buffer.alloc(0))
  fleet.generations.set(`${FORK} stderr`, 1)
  await fleet.write(FORK, 'stderr', 'after\n')
  await end()
  expect(await read(RUN)).toEqual(['[main/0] before', '[main/0] after'])
  expect((await bytesOf(RUN, { stream: 'stderr' })).toString()).toBe('after\n')
})

test('--tail gives the last lines of each source; with -f those after them too', async () => {
  running()
  await fleet.write(FORK, 'stdout', '1\n2\n3\n')
  await fleet.write(FORK, 'stderr', 'x\ny\n')
  expect(await read(RUN, { tail: 1 })).toEqual(['[main/0] 3', '[main/0] y'])
  const followed: string[] = []
  for await (const item of fleet.troupe.logs(RUN, { tail: 2, stream: 'stdout', follow: true })) {
    followed.push(show(item))
    // it has taken its look at the past: what comes now is after it
    if (followed.length === 2) await fleet.write(FORK, 'stdout', '4\n').then(() => end())
  }
  expect(followed).toEqual(['[main/0] 2', '[main/0] 3', '[main/0] 4'])
})

test('--tail without the node comes from the relay', async () => {
  running()
  await fleet.write(FORK, 'stdout', '1\n2\n3\n')
  fleet.agent(false)
  expect(await read(RUN, { tail: 1, stream: 'stdout' })).toEqual([
    '[main/0] 3',
    'gap 6-null no node answers for it',
  ])
})

test('--since begins at the chunk of that time, with -f too', async () => {
  running()
  await fleet.write(FORK, 'stdout', 'old\n')
  await sleepMs(60)
  const since = Date.now()
  await sleepMs(5)
  await fleet.write(FORK, 'stdout', 'new\n')
  expect(await read(RUN, { since })).toEqual(['[main/0] new'])
  const reader = await following(RUN, { since: Date.now() + 60_000 })
  await fleet.write(FORK, 'stdout', 'newer\n')
  await reader.has(1)
  await end()
  expect(await reader.end).toEqual(['[main/0] newer'])
})

test('--grep is matched in linear time: a pattern that blocks backtracking engines is answered at once [U-05]', async () => {
  await fleet.write(FORK, 'stdout', `keep me\n${'a'.repeat(28)}!\ndrop me\n`)
  await end()
  const before = process.cpuUsage()
  expect(await read(RUN, { grep: '^(a+)+$|keep' })).toEqual(['[main/0] keep me'])
  // our own time, not that of others on this machine
  expect(process.cpuUsage(before).user / 1000).toBeLessThan(2000)
  await expect(read(RUN, { grep: '(' })).rejects.toMatchObject({ code: 'SPEC_INVALID' })
})

test('a follower of a run goes on with the next attempt; one attempt is read by its number', async () => {
  running()
  await fleet.write(FORK, 'stdout', 'first try\n')
  const reader = await following(RUN)
  await reader.has(1)
  fleet.final.add(FORK)
  const second = `${RUN}.main.0.2`
  fleet.statuses.set(RUN, runStatus({ workers: [worker('main', 0, { attempt: 2 })] }))
  await fleet.write(second, 'stdout', 'second try\n')
  await reader.has(2)
  await end([second], [worker('main', 0, { ...exited(0), attempt: 2 })])
  expect(await reader.end).toEqual(['[main/0] first try', '[main/0] second try'])
  expect(await read(RUN)).toEqual(['[main/0] second try'])
  expect(await read(RUN, { attempt: 1 })).toEqual(['[main/0] first try'])
})

test('a follower of one worker ends with it, though the run goes on', async () => {
  fleet.statuses.set(RUN, runStatus({ workers: [worker('main', 0, exited(0)), worker('main', 1)] }))
  await fleet.write(FORK, 'stdout', 'mine\n')
  fleet.final.add(FORK)
  expect(await read(`${RUN}/main/0`, { follow: true })).toEqual(['[main/0] mine'])
})

test('no coordinator for a moment, no stream at all: the spool is enough', async () => {
  await fleet.write(FORK, 'stdout', 'line\n', false)
  await end()
  expect(await read(RUN)).toEqual(['[main/0] line'])
})

test('an unknown run, role or index is not found, before anything is shown [R-17]', async () => {
  running()
  await expect(read('nosuchrun')).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
  await expect(read(`${RUN}/trainer`)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    hint: 'it has main',
  })
  await expect(read(`${RUN}/main/7`)).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
})

test('a slow reader of a flood loses nothing: what was dropped here is read from the spool [FC-13]', async () => {
  running()
  const piece = Buffer.alloc(1024 * 1024, 'f')
  let read = 0
  let started = false
  const reading = (async () => {
    for await (const item of fleet.troupe.logs(RUN, { follow: true, chunks: true })) {
      const isFirst = !started
      started = true
      if (isFirst) await sleepMs(400)
      if (item.kind === 'gap') throw new Error(`a gap: ${item.why}`)
      expect(item.offset).toBe(read)
      read += item.bytes!.length
    }
  })()
  await fleet.write(FORK, 'stdout', 'go')
  await until('it has begun', () => started)
  for (let i = 0; i < 48; i++) await fleet.write(FORK, 'stdout', piece)
  await end()
  await reading
  expect(read).toBe(48 * piece.length + 2)
})
