import type { SignalResult } from '../../../../src/protocol/host.ts'
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

describe('a signal of a person', () => {
  function sent(result: SignalResult, spec = specOf(FORK), body: { to?: 'tree'; rank?: number } = {}) {
    const agent = agentScript()
    agent.running(spec)
    const order = { forkId: FORK, signal: 'SIGUSR1', by: 'ada', rank: null, ...body }
    const [command] = only(agent.order({ verb: 'signal', body: order }), 'signal-one')
    const { order: id, sent: what } = command!
    return {
      agent,
      command,
      after: agent.step({ type: 'signalled', order: id, forkId: FORK, sent: what, result }),
    }
  }
  const ranked = specOf(FORK, { torchrun: { nnodes: '1', nodeRank: 0, nproc: 2, hostsRendezvous: true } })

  test.each([
    ['a task: its root', specOf(FORK), {}, 'root'],
    ['a torchrun worker: its ranks', ranked, {}, 'ranks'],
    ['a rank', ranked, { rank: 1 }, 1],
    ['all of it, by wish', ranked, { to: 'tree' as const }, 'tree'],
  ])('to %s', (_, spec, body, to) => {
    const { command, after, agent } = sent({ reached: 1, fatal: [] }, spec, body)
    expect(command!.sent).toEqual({ signal: 'SIGUSR1', by: 'ada', to })
    expect(agent.replyIn(after)).toEqual({})
    expect(only(after, 'fact')).toMatchObject([{ what: 'signalled', report: { signals: [command!.sent] } }])
    expect(only(after, 'note')).toMatchObject([{ notes: { signals: [command!.sent] } }])
  })

  test('nobody is there: so it is said', () => {
    const { agent, after } = sent({ reached: 0, fatal: [] })
    expect(agent.replyIn(after)).toBe('WORKER_NOT_FOUND')
    const body = { forkId: OTHER, signal: 'SIGUSR1', rank: null }
    expect(agent.replyIn(agent.order({ verb: 'signal', body }))).toBe('WORKER_NOT_FOUND')
  })

  test('it would end who has no handler: refused by name, with what to write', () => {
    const { after } = sent({ reached: 0, fatal: ['pid 7 (sleep 60)'] })
    const [fault] = only(after, 'fault')
    expect(fault!.fault.message).toBe('SIGUSR1 would end pid 7 (sleep 60): no handler for it')
    expect(fault!.fault.hint).toContain('--force')
    expect(only(after, 'fact')).toEqual([])
  })

  test('an end by that signal names the person; by another one, or within a stop, it does not', () => {
    const { agent } = sent({ reached: 1, fatal: [] })
    expect(only(agent.exited(FORK, { signal: 'SIGUSR1' }), 'fact')[0]!.report.exit).toMatchObject({
      sentBy: 'ada',
      killedBy: null,
    })
    const other = sent({ reached: 1, fatal: [] }).agent.exited(FORK, { signal: 'SIGSEGV' })
    expect(only(other, 'fact')[0]!.report.exit).not.toHaveProperty('sentBy')
    const stopped = sent({ reached: 1, fatal: [] }).agent
    stopped.kill(FORK)
    expect(only(stopped.exited(FORK, { signal: 'SIGUSR1' }), 'fact')[0]!.report.exit).not.toHaveProperty(
      'sentBy',
    )
  })

  test('the latest five are kept', () => {
    const { agent } = sent({ reached: 1, fatal: [] })
    for (let n = 0; n < 6; n++)
      agent.step({
        type: 'signalled',
        order: 90 + n,
        forkId: FORK,
        sent: { signal: `SIGRTMIN+${n + 1}`, by: 'ada', to: 'root' },
        result: { reached: 1, fatal: [] },
      })
    expect(agent.state.forks.get(FORK)!.signals.map(({ signal }) => signal.at(-1))).toEqual([
      '2',
      '3',
      '4',
      '5',
      '6',
    ])
  })
})
