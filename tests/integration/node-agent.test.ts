/** The node agent on a real server with real process trees; the coordinator is played by hand. */
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { byUser } from '../../src/protocol/causes.ts'
import { startAgentHarness, taskSpec, type AgentHarness } from '../support/agent-harness.ts'
import { until } from '../support/test-server.ts'

const python = process.env['TROUPE_PYTHON'] ?? 'python3'
function misbehave(...args: string[]): string[] {
  return [python, join(import.meta.dirname, '../support/programs/misbehave.py'), ...args]
}
function sh(script: string): string[] {
  return ['/bin/sh', '-c', script]
}
function isAlive(pid: number): boolean {
  return existsSync(`/proc/${pid}`)
}

let harness: AgentHarness
beforeAll(async () => {
  harness = await startAgentHarness()
})
afterAll(() => harness.close())

test('a task runs: its pid, exact exit, last lines and logs are told, each end once; it is forgotten when released, its logs are not [A-33 A-34]', async () => {
  const agent = await harness.start()
  await agent.joined
  const spec = taskSpec(sh('echo out; for i in $(seq 60); do echo line $i >&2; done; exit 7'))
  const report = await harness.launch(spec)
  expect(report).toMatchObject({ phase: 'running', forkId: spec.forkId, ready: true })
  expect(report.pid).toBeGreaterThan(1)
  const exited = await harness.fact(spec.forkId, 'exited')
  expect(exited.exit).toEqual({ code: 7, signal: null, oom: false, unknown: null, killedBy: null })
  expect(exited.stderrTail).toHaveLength(50)
  expect(exited.stderrTail.at(-1)).toBe('line 60')
  expect((await harness.fact(spec.forkId, 'gone')).receipt).toMatchObject({ outcome: 'gone', survivors: [] })
  const final = await harness.fact(spec.forkId, 'logs-final')
  expect(final.logsFinal).toMatchObject({ stdout: { bytes: 4, lost: [] } })
  expect(await harness.storedFacts(spec.forkId)).toEqual([
    'prepared',
    'started',
    'exited',
    'gone',
    'logs-final',
  ])

  await harness.order('release', { forks: [spec.forkId] })
  await until(
    'the fork is forgotten',
    async () => !(await harness.inventory()).forks.some((fork) => fork.forkId === spec.forkId),
  )
  const log = await harness.messenger.ask(
    'worker.log',
    { run: spec.run, role: 'trainer', index: 0 },
    { source: 'stdout' },
  )
  expect(log).toMatchObject({
    node: 'n0',
    attempt: 1,
    offset: 0,
    final: true,
    sources: { stdout: { size: 4, floor: 0, generation: 0 } },
  })
  expect(Buffer.from(log.bytes).toString()).toBe('out\n')
  const tail = await harness.messenger.ask(
    'worker.log',
    { run: spec.run, role: 'trainer', index: 0 },
    { source: 'stderr', tailLines: 2 },
  )
  expect(Buffer.from(tail.bytes).toString()).toBe('line 59\nline 60\n')
  await expect(
    harness.order('kill', {
      forks: [{ forkId: spec.forkId, signal: null, graceMs: 0, killedBy: { by: 'user', name: 'me' } }],
    }),
  ).resolves.toMatchObject({ forks: [{ phase: 'cancelled' }] })
  await agent.stop()
})

test('a tree that ignores TERM and has a daemon elsewhere is gone after its grace, and the receipt says so [FC-2 +A17]', async () => {
  const agent = await harness.start()
  const spec = taskSpec(
    sh(
      `trap '' TERM; (setsid sh -c "trap '' TERM; echo up; while :; do sleep 1; done" &); echo up; while :; do sleep 1; done`,
    ),
  )
  const { pid } = await harness.launch(spec)
  await until(
    'both have said that they are deaf',
    async () =>
      await harness.messenger
        .ask('worker.log', { run: spec.run, role: 'trainer', index: 0 }, { source: 'stdout' })
        .then((log) => log.bytes.length === 'up\nup\n'.length),
  )
  const health = await harness.messenger.ask(
    'worker.health',
    { run: spec.run, role: 'trainer', index: 0 },
    {},
  )
  expect(health).toMatchObject({ phase: 'running', pid, ready: true })
  expect(health.processes).toBeGreaterThanOrEqual(2)
  const before = performance.now()
  const { forks } = await harness.order('kill', {
    forks: [{ forkId: spec.forkId, signal: 'SIGTERM', graceMs: 300, killedBy: { by: 'user', name: 'ada' } }],
  })
  expect(forks[0]!.phase).toBe('stopping')
  const gone = await harness.fact(spec.forkId, 'gone')
  const tookMs = performance.now() - before
  expect(gone).toMatchObject({
    exit: { signal: 'SIGKILL', killedBy: { by: 'user', name: 'ada' } },
    receipt: { outcome: 'gone' },
  })
  expect(gone.receipt!.ms).toBeGreaterThanOrEqual(295)
  expect(tookMs).toBeLessThan(1500)
  expect(isAlive(pid!)).toBe(false)
  await agent.stop()
})

test('the root ends and leaves a child behind: the exit is told at once, the child gets the stop signal, the receipt comes after', async () => {
  const agent = await harness.start()
  const spec = taskSpec(sh('sleep 300 & exit 0'))
  await harness.launch(spec)
  expect((await harness.fact(spec.forkId, 'exited')).exit).toMatchObject({ code: 0, killedBy: null })
  expect((await harness.fact(spec.forkId, 'gone')).receipt).toMatchObject({ outcome: 'gone' })
  await agent.stop()
})

test('orders of a deposed coordinator, of one that was frozen, and to a dead incarnation do nothing', async () => {
  const agent = await harness.start()
  const spec = taskSpec(misbehave('sleep'))
  await harness.launch(spec)
  const kill = { forks: [{ forkId: spec.forkId, signal: null, graceMs: 0, killedBy: byUser('me') }] }
  await expect(harness.order('kill', kill, { epoch: { ...harness.epoch, n: 3 } })).rejects.toMatchObject({
    code: 'STALE_EPOCH',
  })
  await expect(harness.order('kill', kill, { epoch: { storeId: 'anew', n: 9 } })).rejects.toMatchObject({
    code: 'STORE_UNKNOWN',
  })
  await expect(harness.order('kill', kill, { allowanceMs: -50 })).rejects.toMatchObject({ code: 'EXPIRED' })
  const asked = performance.now()
  await expect(
    harness.messenger.ask('node.kill', { node: 'n0', incarnation: '01ARZ3NDEKTSV4RRFFQ69G5FAV' }, kill),
  ).rejects.toMatchObject({ code: 'CONN' })
  expect(performance.now() - asked).toBeLessThan(200)
  expect((await harness.inventory()).forks.find((fork) => fork.forkId === spec.forkId)).toMatchObject({
    phase: 'running',
  })
  const { forks } = await harness.order('cancel', { forks: [spec.forkId], killedBy: { by: 'attempt' } })
  expect(forks[0]!.phase).toBe('stopping')
  await harness.fact(spec.forkId, 'gone')
  // prepared again it is reported as it is, not made anew
  expect((await harness.order('prepare', { forks: [spec], lapseMs: 1000 })).forks).toMatchObject([
    { phase: 'gone' },
  ])
  await agent.stop()
})

test('the agent is killed with -9: workers run on, the next one tells the true exits, and each start stands once in the stream [FC-3 U-13]', async () => {
  const first = await harness.spawn()
  const stays = taskSpec(sh('echo a; sleep 2; echo b; exit 3'))
  const dies = taskSpec(sh('sleep 0.5; kill -SEGV $$'))
  const told = await harness.launch(stays)
  const { pid: diesPid } = await harness.launch(dies)
  await harness.fact(stays.forkId, 'started')
  await harness.fact(dies.forkId, 'started')
  first.kill('SIGKILL')
  await once(first, 'exit')
  await until('one worker has ended meanwhile', () => !isAlive(diesPid!))
  const second = await harness.spawn()
  const { forks } = await harness.inventory()
  expect(forks.find((fork) => fork.forkId === stays.forkId)).toMatchObject({ pid: told.pid })
  expect((await harness.fact(stays.forkId, 'exited')).exit).toMatchObject({ code: 3, signal: null })
  expect((await harness.fact(dies.forkId, 'exited')).exit).toMatchObject({ code: null, signal: 'SIGSEGV' })
  for (const { forkId } of [stays, dies]) {
    await harness.fact(forkId, 'logs-final')
    expect(
      (await harness.storedFacts(forkId)).filter((what) =>
        ['started', 'exited', 'gone', 'logs-final'].includes(what),
      ),
    ).toEqual(['started', 'exited', 'gone', 'logs-final'])
  }
  const log = await harness.messenger.ask(
    'worker.log',
    { run: stays.run, role: 'trainer', index: 0 },
    { source: 'stdout' },
  )
  expect(Buffer.from(log.bytes).toString()).toBe('a\nb\n')
  second.kill('SIGTERM')
  await once(second, 'exit')
})

test('the bus goes away: workers run on and end, and everything is told when it is back [FC-5 U-13]', async () => {
  const agent = await harness.start()
  const spec = taskSpec(sh('echo before; sleep 1; echo during; exit 5'))
  const { pid } = await harness.launch(spec)
  await harness.fact(spec.forkId, 'started')
  await harness.server.kill()
  await until('the worker has ended without a bus', () => !isAlive(pid!))
  await harness.server.start()
  expect((await harness.fact(spec.forkId, 'logs-final', 20_000)).exit).toMatchObject({ code: 5 })
  expect(await harness.storedFacts(spec.forkId)).toEqual([
    'prepared',
    'started',
    'exited',
    'gone',
    'logs-final',
  ])
  await agent.stop()
})

test('a prepare that nobody starts lapses: its ports are free again and its token is worth nothing', async () => {
  const agent = await harness.start()
  const spec = taskSpec(sh('true'), {
    resources: { cpus: 0, gpus: 0, memoryBytes: 0, ports: 1, share: false },
  })
  const { token, forks } = await harness.order('prepare', { forks: [spec], lapseMs: 200 })
  expect(forks[0]).toMatchObject({ phase: 'prepared', ports: [expect.any(Number)] })
  await until(
    'it has lapsed',
    async () => !(await harness.inventory()).forks.some((fork) => fork.forkId === spec.forkId),
  )
  await expect(
    harness.order('start', {
      token,
      forks: [{ forkId: spec.forkId, bindings: { roles: {}, rendezvous: null } }],
    }),
  ).rejects.toMatchObject({ code: 'EXPIRED' })
  await agent.stop()
})
