import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { exited, pending, RUN, runStatus, worker } from '../../../support/fake-fleet.ts'
import { bytesOf, end, fleet, FORK, PEER, read, running, torch } from '../../../support/log-suite.ts'

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

test('without -f a run that has not started has no logs', async () => {
  fleet.statuses.set(RUN, runStatus({ state: 'pending', workers: [worker('main', 0, pending)] }))
  expect(await read(RUN)).toEqual([])
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

test('an unknown run, role or index is not found, before anything is shown [R-17]', async () => {
  running()
  await expect(read('nosuchrun')).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
  await expect(read(`${RUN}/trainer`)).rejects.toMatchObject({
    code: 'WORKER_NOT_FOUND',
    hint: 'it has main',
  })
  await expect(read(`${RUN}/main/7`)).rejects.toMatchObject({ code: 'WORKER_NOT_FOUND' })
})
