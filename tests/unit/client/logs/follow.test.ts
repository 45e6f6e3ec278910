import { expect, test } from 'vitest'
import { exited, pending, RUN, runStatus, sleepMs, until, worker } from '../../../support/fake-fleet.ts'
import { bytesOf, end, fleet, FORK, following, read, running } from '../../../support/log-suite.ts'

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

test('a node that is silent to the end: what the relay has beyond the hole is given, and the hole is named', async () => {
  const { reading } = await followerWithHole()
  await fleet.record(FORK, 'stdout', { kind: 'final', generation: 0, bytes: 6, lost: [] })
  await end()
  expect(await reading).toEqual(['[main/0] 1', 'gap 2-4 its node does not answer', '[main/0] 3'])
}, 20_000)

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
