import { describe, expect, test } from 'vitest'
import type { AgentEvent } from '../../../../src/core/agent/agent-state.ts'
import { agentScript, CAPACITY, EPOCH, FORK, only, specOf, typesOf } from '../../../support/agent-steps.ts'

const PROBE = {
  kind: 'tcp',
  port: 0,
  timeoutMs: 5000,
  intervalMs: 100,
  attemptTimeoutMs: 100,
  failures: 3,
} as const
function probe(ready: boolean, reason: string | null = null) {
  return { type: 'host', at: 1500, event: { what: 'probe', forkId: FORK, ready, reason } } as const
}
function tick(at: number) {
  return { type: 'tick', at, loopLagMs: 0 } as const
}

describe('readiness', () => {
  test('without a probe a worker is ready when it runs', () => {
    const agent = agentScript()
    agent.running()
    expect(agent.state.forks.get(FORK)!.ready).toBe(true)
  })

  test('with a probe it is as the probe says, each change told once; an old timeout changes nothing [FC-16 A-43]', () => {
    const agent = agentScript()
    agent.running(specOf(FORK, { ready: PROBE }))
    expect(agent.state.forks.get(FORK)!.ready).toBe(false)
    expect(agent.step(probe(false, 'HTTP 503'))).toEqual([])
    expect(typesOf(agent.step(probe(true)))).toEqual(['note', 'fact ready'])
    expect(agent.step(probe(true))).toEqual([])
    expect(only(agent.step(probe(false, 'HTTP 503')), 'fact')[0]).toMatchObject({
      what: 'unready',
      report: { ready: false, readyReason: 'HTTP 503' },
    })
    expect(agent.step({ type: 'timer', timer: { kind: 'ready', forkId: FORK }, at: 6000 })).toEqual([])
  })

  test('not ready in time: told why, and ended as `not-ready`', () => {
    const agent = agentScript()
    agent.running(specOf(FORK, { ready: PROBE }))
    agent.step(probe(false, 'HTTP 503'))
    const late = agent.step({ type: 'timer', timer: { kind: 'ready', forkId: FORK }, at: 6000 })
    expect(only(late, 'fact')[0]!.report.readyReason).toBe('not ready within 5 s: HTTP 503')
    expect(only(late, 'note')[0]!.notes).toMatchObject({ stop: { killedBy: { by: 'not-ready' } } })
  })

  test('ranks are told at once, also those that end after the root', () => {
    const agent = agentScript()
    agent.running()
    const ranks = (pid: number): AgentEvent => ({
      type: 'host',
      at: 1,
      event: {
        what: 'ranks',
        forkId: FORK,
        ranks: [
          {
            rank: 0,
            localRank: 0,
            restart: 0,
            pid,
            state: 'running',
            exit: null,
            startedAt: 1,
            exitedAt: null,
          },
        ],
      },
    })
    const first = only(agent.step(ranks(11)), 'fact')[0]!
    agent.exited(FORK, { code: 1 })
    const second = only(agent.step(ranks(12)), 'fact')[0]!
    expect([first.what, second.what]).toEqual(['ranks', 'ranks'])
    expect(second.id).not.toBe(first.id)
  })
})

describe('each beat', () => {
  test('says how many facts were stated, so that a missed one is seen', () => {
    const agent = agentScript()
    agent.running()
    expect(only(agent.step(tick(1500)), 'beat')[0]).toMatchObject({
      tick: 1500,
      rev: 2,
      epoch: EPOCH,
      leaving: false,
    })
  })

  test('resync is answered by a beat at once', () => {
    expect(typesOf(agentScript().step({ type: 'resync', at: 5 }))).toEqual(['beat'])
  })

  test('a fence: no acknowledged round trip for its time ends the worker, and only that one', () => {
    const agent = agentScript()
    agent.running(specOf(FORK, { fenceAfterMs: 3000 }))
    agent.running(specOf('run-1.trainer.1.1'))
    expect(typesOf(agent.step(tick(2000)))).toEqual(['beat', 'round-trip'])
    agent.step({ type: 'round-trip', sentAt: 2000 })
    expect(only(agent.step(tick(4900)), 'note')).toEqual([])
    const fenced = only(agent.step(tick(5000)), 'note')
    expect(fenced).toMatchObject([{ forkId: FORK, notes: { stop: { killedBy: { by: 'fence' } } } }])
    expect(only(agent.step(tick(5500)), 'note')).toEqual([])
  })

  test('without a fence nothing is ended because the bus is gone [FC-5]', () => {
    const agent = agentScript()
    agent.running()
    expect(typesOf(agent.step(tick(3600_000)))).toEqual(['beat', 'read-tail'])
  })

  test('orphans end when no coordinator gave a sign of life for a day; a state log that grows is one', () => {
    const agent = agentScript({ settings: { orphanAfterMs: 10_000, tailReadMs: 1000 } })
    agent.running()
    agent.step(tick(2000))
    agent.step({ type: 'tail', epoch: EPOCH, seq: 6, at: 5000 })
    expect(only(agent.step(tick(14_000)), 'note')).toEqual([])
    agent.step({ type: 'tail', epoch: EPOCH, seq: 6, at: 14_500 })
    expect(only(agent.step(tick(15_000)), 'note')).toMatchObject([
      { notes: { stop: { killedBy: { by: 'orphan' } } } },
    ])
  })
})

test('an address that is another one is a fact of the node: its count goes up, and the inventory has it; the same one is none [A-40]', () => {
  const agent = agentScript()
  const before = only(agent.step(tick(500)), 'beat')[0]!.rev
  const moved = { ...CAPACITY, host: '10.0.0.8', interfaces: { eth0: ['10.0.0.8'] } }
  agent.step({ type: 'capacity', capacity: structuredClone(CAPACITY) })
  expect(only(agent.step(tick(1000)), 'beat')[0]!.rev).toBe(before)
  agent.step({ type: 'capacity', capacity: moved })
  expect(only(agent.step(tick(1500)), 'beat')[0]!.rev).toBe(before + 1)
  expect(only(agent.order({ verb: 'inventory', body: {} }), 'reply')).toMatchObject([
    { body: { capacity: { host: '10.0.0.8' }, rev: before + 1 } },
  ])
})

describe('the end of an agent', () => {
  test('leaving says so and stops nothing', () => {
    const agent = agentScript()
    agent.running()
    const commands = agent.step({ type: 'leave', at: 2000 })
    expect(typesOf(commands)).toEqual(['beat', 'end'])
    expect(only(commands, 'beat')[0]!.leaving).toBe(true)
    expect(agent.exited(FORK, { code: 0 })).toEqual([])
  })

  test('one that is superseded touches nothing', () => {
    const agent = agentScript()
    agent.running()
    expect(agent.step({ type: 'superseded' })).toEqual([{ type: 'end', why: 'superseded' }])
    expect(agent.kill(FORK)).toEqual([])
  })
})
