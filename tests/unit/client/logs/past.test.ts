import { expect, test } from 'vitest'
import type { LogItem } from '../../../../src/client/logs/items.ts'
import { RUN, sleepMs } from '../../../support/fake-fleet.ts'
import {
  bytesOf,
  done,
  end,
  fleet,
  FORK,
  following,
  read,
  running,
  show,
} from '../../../support/log-suite.ts'

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

test('no coordinator for a moment, no stream at all: the spool is enough', async () => {
  await fleet.write(FORK, 'stdout', 'line\n', false)
  await end()
  expect(await read(RUN)).toEqual(['[main/0] line'])
})
