import { describe, expect, test } from 'vitest'
import type { Order } from '../../../../src/core/agent/agent-state.ts'
import { agentScript, FORK, only, specOf, typesOf } from '../../../support/agent-steps.ts'
import { preparedFork } from '../../../support/fork-spec.ts'

const OTHER = 'run-1.trainer.1.1'

describe('prepare and start', () => {
  test('a prepare is answered when the host has made all of it', () => {
    const agent = agentScript()
    const asked = agent.order({
      verb: 'prepare',
      body: { forks: [specOf(FORK), specOf(OTHER)], lapseMs: 30_000 },
    })
    expect(typesOf(asked)).toEqual(['prepare'])
    const token = only(asked, 'prepare')[0]!.token
    const done = agent.step({
      type: 'prepared',
      token,
      forkIds: [FORK, OTHER],
      leases: [preparedFork({ ports: [10_001], host: '::1' }), preparedFork()],
      fault: null,
      at: 1001,
    })
    expect(agent.replyIn(done)).toMatchObject({
      token,
      forks: [{ phase: 'prepared', addr: '[::1]:10001' }, { addr: null }],
    })
    expect(typesOf(done).filter((type) => type.startsWith('fact'))).toEqual([
      'fact prepared',
      'fact prepared',
    ])
  })

  test('a prepare whose answer was lost, asked again: the same token, also while the host is still at it', () => {
    const agent = agentScript()
    const order: Order = { verb: 'prepare', body: { forks: [specOf(FORK)], lapseMs: 30_000 } }
    const token = only(agent.order(order), 'prepare')[0]!.token
    expect(agent.order(order)).toEqual([])
    const done = agent.step({
      type: 'prepared',
      token,
      forkIds: [FORK],
      leases: [preparedFork()],
      fault: null,
      at: 1001,
    })
    expect(only(done, 'reply')).toHaveLength(2)
    expect(agent.replyIn(agent.order(order))).toMatchObject({ token })
  })

  test('a node that cannot hold all of them keeps none', () => {
    const agent = agentScript()
    const token = only(
      agent.order({ verb: 'prepare', body: { forks: [specOf(FORK), specOf(OTHER)], lapseMs: 1 } }),
      'prepare',
    )[0]!.token
    const done = agent.step({
      type: 'prepared',
      token,
      forkIds: [FORK, OTHER],
      leases: null,
      fault: { code: 'GPU_ALLOC', message: 'full', data: {}, retryable: true },
      at: 1001,
    })
    expect(agent.replyIn(done)).toBe('GPU_ALLOC')
    expect(agent.state.forks.size).toBe(0)
  })

  test('nobody starts what was prepared: it lapses, its leases are given back, and its token starts nothing', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    expect(typesOf(agent.step({ type: 'timer', timer: { kind: 'lapse', token }, at: 31_000 }))).toEqual([
      'drop',
      'unserve',
    ])
    expect(agent.replyIn(agent.start(token, FORK))).toBe('EXPIRED')
  })

  test('a start in time wins over the lapse that comes later', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    expect(typesOf(agent.start(token, FORK))).toEqual(['start'])
    expect(agent.step({ type: 'timer', timer: { kind: 'lapse', token }, at: 31_000 })).toEqual([])
  })

  test('a start that comes after the lapse, but before its late timer, starts nothing', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.at += 30_001
    expect(agent.replyIn(agent.start(token, FORK))).toBe('EXPIRED')
  })

  test('the token of another prepare starts nothing', () => {
    const agent = agentScript()
    agent.prepare(specOf(FORK))
    expect(agent.replyIn(agent.start('other', FORK))).toBe('EXPIRED')
  })

  test('a start whose answer was lost, asked again: the fork as it is, never a second one [+A19]', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.start(token, FORK)
    expect(agent.start(token, FORK)).toEqual([])
    const started = agent.started(FORK)
    expect(only(started, 'reply')).toHaveLength(2)
    expect(typesOf(started)).toContain('fact started')
    const again = agent.start(token, FORK)
    expect(typesOf(again)).toEqual(['reply'])
    expect(agent.replyIn(again)).toMatchObject({ forks: [{ phase: 'running', pid: 4242 }] })
  })

  test('a worker that cannot start is reported so, buried, and ends with a receipt', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.start(token, FORK)
    const failed = agent.step({
      type: 'started',
      forkId: FORK,
      start: null,
      fault: { code: 'WORKER_CONFIG', message: 'no such directory', data: {}, retryable: false },
      at: 1002,
    })
    expect(typesOf(failed)).toEqual(['note', 'fact exited', 'cancel', 'reply'])
    expect(agent.replyIn(failed)).toMatchObject({
      forks: [
        {
          startFinal: true,
          startFault: 'no such directory',
          exit: { unknown: 'could not start: no such directory' },
        },
      ],
    })
    expect(
      typesOf(agent.step({ type: 'cancelled', forkId: FORK, proven: true, fault: null, at: 1003 })),
    ).toEqual(['note', 'fact gone', 'finish-logs'])
  })

  test('a program that is not there is no start: exit 127 is told, `started` never', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.start(token, FORK)
    expect(typesOf(agent.started(FORK, null))).toEqual(['ship-logs', 'reply'])
    expect(only(agent.exited(FORK, { code: 127 }), 'fact')[0]).toMatchObject({
      what: 'exited',
      report: { exit: { code: 127 }, startFault: 'true could not be executed: last words' },
    })
  })

  test('an exit that overtakes the answer of the start is told after it', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.start(token, FORK)
    expect(agent.exited(FORK, { code: 0 })).toEqual([])
    expect(agent.empty(FORK)).toEqual([])
    expect(typesOf(agent.started(FORK)).filter((type) => type.startsWith('fact'))).toEqual([
      'fact started',
      'fact exited',
      'fact gone',
    ])
  })
})
