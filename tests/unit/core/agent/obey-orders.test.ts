import { describe, expect, test } from 'vitest'
import type { Order } from '../../../../src/core/agent/agent-state.ts'
import { agentScript, EPOCH, FORK, only, specOf, typesOf } from '../../../support/agent-steps.ts'
import { preparedFork } from '../../../support/fork-spec.ts'

const OTHER = 'run-1.trainer.1.1'
const killOrder: Order = {
  verb: 'kill',
  body: { forks: [{ forkId: FORK, signal: 'SIGTERM', graceMs: 10, killedBy: { by: 'user', name: 'me' } }] },
}

describe('which orders are obeyed', () => {
  test('an order of a deposed coordinator is refused and does nothing', () => {
    const agent = agentScript()
    agent.running()
    const commands = agent.order(killOrder, { epoch: { ...EPOCH, n: EPOCH.n - 1 } })
    expect(typesOf(commands)).toEqual(['fault'])
    expect(agent.replyIn(commands)).toBe('STALE_EPOCH')
    expect(agent.state.forks.get(FORK)!.stop).toBeNull()
  })

  test('an order of a newer coordinator is obeyed, and the older one refused from then on, also after a restart', () => {
    const agent = agentScript()
    const commands = agent.order({ verb: 'release', body: { forks: [] } }, { epoch: { ...EPOCH, n: 9 } })
    expect(only(commands, 'remember')).toEqual([{ type: 'remember', epoch: { ...EPOCH, n: 9 }, order: null }])
    expect(agent.replyIn(agent.order({ verb: 'release', body: { forks: [] } }))).toBe('STALE_EPOCH')
    const again = agentScript({ epoch: { ...EPOCH, n: 9 }, tail: EPOCH })
    expect(again.replyIn(again.order({ verb: 'release', body: { forks: [] } }))).toBe('STALE_EPOCH')
  })

  test('another state store is refused until somebody adopts it', () => {
    const agent = agentScript({ epoch: EPOCH, tail: { storeId: 'S2', n: 1 } })
    const beat = only(agent.first, 'beat')[0]!
    expect(beat.storeRefused).toBe(true)
    expect(agent.replyIn(agent.order(killOrder, { epoch: { storeId: 'S2', n: 1 } }))).toBe('STORE_UNKNOWN')
    const adopting = agent.order({ verb: 'adopt', body: { storeId: 'S2' } }, { epoch: null, notAfter: null })
    expect(only(adopting, 'remember')[0]!.epoch.storeId).toBe('S2')
    expect(
      agent.replyIn(
        agent.order({ verb: 'release', body: { forks: [] } }, { epoch: { storeId: 'S2', n: 1 } }),
      ),
    ).toEqual({})
    expect(agent.replyIn(agent.order(killOrder))).toBe('STORE_UNKNOWN')
  })

  test('an order that waited in a frozen process is EXPIRED when it is read, and so is one that does not say until when', () => {
    const agent = agentScript()
    agent.running()
    expect(agent.replyIn(agent.order(killOrder, { notAfter: agent.at - 0.5 }))).toBe('EXPIRED')
    expect(agent.replyIn(agent.order(killOrder, { notAfter: null }))).toBe('EXPIRED')
    expect(
      agent.replyIn(
        agent.order(
          { verb: 'prepare', body: { forks: [specOf(OTHER)], lapseMs: 1 } },
          { notAfter: agent.at - 1 },
        ),
      ),
    ).toBe('EXPIRED')
    expect(agent.state.forks.has(OTHER)).toBe(false)
    expect(agent.state.forks.get(FORK)!.stop).toBeNull()
  })

  test('the inventory is given to whoever asks', () => {
    const agent = agentScript()
    agent.running()
    const commands = agent.order({ verb: 'inventory', body: {} }, { epoch: null, notAfter: null })
    expect(only(commands, 'reply')[0]!.body).toMatchObject({
      rev: 2,
      pid: 77,
      epoch: EPOCH,
      forks: [{ forkId: FORK, phase: 'running', pid: 4242 }],
    })
  })

  test('the inventory is read in pages, by fork id; a fork that comes or goes moves no other', () => {
    const agent = agentScript()
    const ids = [0, 1, 2, 10].map((index) => `run-1.trainer.${index}.1`)
    for (const id of ids) agent.running(specOf(id))
    const page = (body: { from?: string; count?: number }) => {
      const reply = agent.replyIn(agent.order({ verb: 'inventory', body }, { epoch: null, notAfter: null }))
      const { forks, next } = reply as unknown as { forks: { forkId: string }[]; next: string | null }
      return { forks: forks.map((fork) => fork.forkId), next }
    }
    expect(page({ count: 2 })).toEqual({ forks: [ids[0], ids[1]], next: ids[3] })
    agent.state.forks.delete(ids[1]!)
    agent.state.forks.delete(ids[3]!)
    expect(page({ count: 2, from: ids[3]! })).toEqual({ forks: [ids[2]], next: null })
    expect(page({ count: 1e9 }).next).toBeNull()
  })

  test('a cursor that is no fork id is refused with its text', () => {
    const agent = agentScript()
    for (const from of ['../../etc', 'run-1.trainer.01.1', 'run-1/trainer/1']) {
      const commands = agent.order({ verb: 'inventory', body: { from } }, { epoch: null, notAfter: null })
      expect(only(commands, 'fault')[0]!.fault).toMatchObject({
        code: 'REQUEST_INVALID',
        message: `"${from}" is no cursor of the forks of node n0`,
      })
    }
  })

  test('a fork id that could leave the spool is refused', () => {
    const agent = agentScript()
    expect(
      agent.replyIn(
        agent.order({ verb: 'cancel', body: { forks: ['../../etc'], killedBy: { by: 'attempt' } } }),
      ),
    ).toBe('REQUEST_INVALID')
    expect(
      agent.replyIn(
        agent.order({ verb: 'prepare', body: { forks: [{ ...specOf(FORK), index: 7 }], lapseMs: 1 } }),
      ),
    ).toBe('REQUEST_INVALID')
  })
})

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
      forks: [{ startFault: 'no such directory', exit: { unknown: 'could not start: no such directory' } }],
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

describe('cancel', () => {
  test('an unknown fork is answered only when its tombstone stands', () => {
    const agent = agentScript()
    const asked = agent.order({ verb: 'cancel', body: { forks: [FORK], killedBy: { by: 'attempt' } } })
    expect(typesOf(asked)).toEqual(['cancel'])
    expect(
      agent.replyIn(agent.step({ type: 'cancelled', forkId: FORK, proven: true, fault: null, at: 1001 })),
    ).toMatchObject({ forks: [{ forkId: FORK, phase: 'cancelled' }] })
  })

  test('a tombstone that could not be written is no proof', () => {
    const agent = agentScript()
    agent.prepare(specOf(FORK))
    agent.order({ verb: 'cancel', body: { forks: [FORK], killedBy: { by: 'attempt' } } })
    expect(
      agent.replyIn(
        agent.step({
          type: 'cancelled',
          forkId: FORK,
          proven: false,
          fault: { code: 'SPOOL', message: 'disk full', data: {}, retryable: true },
          at: 1001,
        }),
      ),
    ).toBe('SPOOL')
  })

  test('a prepared fork that is being cancelled cannot be started any more', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.order({ verb: 'cancel', body: { forks: [FORK], killedBy: { by: 'attempt' } } })
    expect(agent.replyIn(agent.start(token, FORK))).toBe('CANCELLED')
    expect(
      typesOf(agent.step({ type: 'cancelled', forkId: FORK, proven: true, fault: null, at: 1001 })),
    ).toEqual(['fact cancelled', 'unserve', 'reply'])
    expect(agent.replyIn(agent.order({ verb: 'prepare', body: { forks: [specOf(FORK)], lapseMs: 1 } }))).toBe(
      'CANCELLED',
    )
  })

  test('a cancel while the host is preparing: cancelled once it is prepared', () => {
    const agent = agentScript()
    const token = only(
      agent.order({ verb: 'prepare', body: { forks: [specOf(FORK)], lapseMs: 1 } }),
      'prepare',
    )[0]!.token
    expect(
      typesOf(agent.order({ verb: 'cancel', body: { forks: [FORK], killedBy: { by: 'attempt' } } })),
    ).toEqual(['cancel'])
    agent.step({ type: 'prepared', token, forkIds: [FORK], leases: [preparedFork()], fault: null, at: 1001 })
    expect(agent.replyIn(agent.start(token, FORK))).toBe('CANCELLED')
    expect(
      agent.replyIn(agent.step({ type: 'cancelled', forkId: FORK, proven: true, fault: null, at: 1002 })),
    ).toMatchObject({ forks: [{ phase: 'cancelled' }] })
  })

  test('what runs is killed at once, and the answer does not claim that it is gone', () => {
    const agent = agentScript()
    agent.running()
    const asked = agent.order({ verb: 'cancel', body: { forks: [FORK], killedBy: { by: 'attempt' } } })
    expect(agent.replyIn(asked)).toMatchObject({ forks: [{ phase: 'stopping' }] })
    expect(typesOf(agent.step({ type: 'noted', forkId: FORK, at: 1001 }))).toEqual(['kill-tree'])
  })

  test('a cancel while the shim is being started: it is told as started, then killed', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.start(token, FORK)
    expect(
      agent.replyIn(agent.order({ verb: 'cancel', body: { forks: [FORK], killedBy: { by: 'attempt' } } })),
    ).toMatchObject({ forks: [{ phase: 'stopping' }] })
    expect(typesOf(agent.started(FORK))).toEqual(['fact started', 'ship-logs', 'note', 'reply'])
    expect(typesOf(agent.step({ type: 'noted', forkId: FORK, at: 1001 }))).toEqual(['kill-tree'])
  })
})

describe('release', () => {
  test('a release waits until the logs are final and all was told; the fork is then forgotten', () => {
    const agent = agentScript()
    agent.running()
    agent.exited(FORK, { code: 0 })
    agent.empty(FORK)
    agent.ack(FORK, 'exited', 'gone')
    expect(typesOf(agent.order({ verb: 'release', body: { forks: [FORK] } }))).toEqual(['reply'])
    expect(typesOf(agent.step({ type: 'logs-final', forkId: FORK, offsets: {} }))).toEqual([
      'note',
      'fact logs-final',
    ])
    expect(typesOf(agent.ack(FORK, 'logs-final'))).toEqual(['note', 'release', 'unserve'])
    expect(agent.state.forks.size).toBe(0)
  })

  test('a fork that runs is not released', () => {
    const agent = agentScript()
    agent.running()
    agent.order({ verb: 'release', body: { forks: [FORK] } })
    expect(agent.state.forks.get(FORK)!.released).toBe(false)
  })
})

test('a signal to a root process is answered by what the host found', () => {
  const agent = agentScript()
  agent.running()
  const [command] = only(
    agent.order({ verb: 'signal', body: { forkId: FORK, signal: 'SIGUSR1', rank: null } }),
    'signal-one',
  )
  expect(
    agent.replyIn(agent.step({ type: 'signalled', order: command!.order, forkId: FORK, found: false })),
  ).toBe('WORKER_NOT_FOUND')
  expect(
    agent.replyIn(agent.order({ verb: 'signal', body: { forkId: OTHER, signal: 'SIGUSR1', rank: null } })),
  ).toBe('WORKER_NOT_FOUND')
})
