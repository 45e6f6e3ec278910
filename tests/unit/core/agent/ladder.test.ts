import { describe, expect, test } from 'vitest'
import type { ForkSpec } from '../../../../src/protocol/launch/resolved.ts'
import { agentScript, FORK, only, specOf, typesOf } from '../../../support/agent-steps.ts'

function grace(generation: number, at: number) {
  return { type: 'timer', timer: { kind: 'grace', forkId: FORK, generation }, at } as const
}

describe('the stop ladder', () => {
  test('who ordered it stands in the spool before the first signal leaves', () => {
    const agent = agentScript()
    agent.running()
    const ordered = agent.kill(FORK, { killedBy: { by: 'user', name: 'ada' } })
    expect(typesOf(ordered)).toEqual(['note', 'reply'])
    expect(only(ordered, 'note')[0]).toMatchObject({
      told: true,
      notes: { stop: { killedBy: { by: 'user', name: 'ada' }, signal: 'SIGTERM', graceMs: 1000 } },
    })
    const signalled = agent.step({ type: 'noted', forkId: FORK, at: 1001 })
    expect(typesOf(signalled)).toEqual(['signal-root', 'note', 'timer'])
    expect(only(signalled, 'note')[0]).toMatchObject({ notes: { stop: { sent: 1 } } })
  })

  test('a tree that ignores the signal is killed after the grace, and ends with a receipt that says how long it took [FC-2 +A17]', () => {
    const agent = agentScript()
    agent.running()
    agent.kill(FORK)
    agent.step({ type: 'noted', forkId: FORK, at: 1001 })
    expect(typesOf(agent.step(grace(1, 2001)))).toEqual(['kill-tree'])
    agent.at = 2010
    expect(only(agent.exited(FORK, { signal: 'SIGKILL' }), 'fact')[0]).toMatchObject({
      what: 'exited',
      report: { exit: { signal: 'SIGKILL', killedBy: { by: 'user', name: 'me' } } },
    })
    agent.at = 2015
    expect(only(agent.empty(FORK), 'fact')[0]).toMatchObject({
      what: 'gone',
      report: { phase: 'gone', receipt: { outcome: 'gone', ms: 1014 } },
    })
  })

  test('the pre-stop call comes before the signal, and its time is not the grace', () => {
    const agent = agentScript()
    agent.running(specOf(FORK, { preStop: { kind: 'exec', command: ['x'], timeoutMs: 10 } }))
    agent.kill(FORK)
    expect(typesOf(agent.step({ type: 'noted', forkId: FORK, at: 1001 }))).toEqual(['pre-stop'])
    const after = agent.step({ type: 'pre-stopped', forkId: FORK, at: 5000 })
    expect(typesOf(after)).toEqual(['signal-root', 'note', 'timer'])
    expect(only(after, 'timer')[0]!.afterMs).toBe(1000)
  })

  test('a second order shortens the grace and never lengthens it', () => {
    const agent = agentScript()
    agent.running()
    agent.kill(FORK, { graceMs: 5000 })
    agent.step({ type: 'noted', forkId: FORK, at: 1000 })
    expect(only(agent.kill(FORK, { graceMs: 60_000 }), 'timer')).toEqual([])
    expect(only(agent.kill(FORK, { graceMs: 100 }), 'timer')).toEqual([
      { type: 'timer', afterMs: 100, timer: { kind: 'grace', forkId: FORK, generation: 2 } },
    ])
    expect(agent.step(grace(1, 6000))).toEqual([])
    expect(typesOf(agent.step(grace(2, 1100)))).toEqual(['kill-tree'])
  })

  test.each([{ signal: null }, { graceMs: 0 }])(
    'a second order to kill at once does (%j), and the first one keeps the blame',
    (order) => {
      const agent = agentScript()
      agent.running()
      agent.kill(FORK, { graceMs: 5000, killedBy: { by: 'done' } })
      agent.step({ type: 'noted', forkId: FORK, at: 1000 })
      expect(typesOf(agent.kill(FORK, { ...order, killedBy: { by: 'user', name: 'me' } }))).toEqual([
        'kill-tree',
        'reply',
      ])
      expect(only(agent.exited(FORK, { signal: 'SIGKILL' }), 'fact')[0]!.report.exit!.killedBy).toEqual({
        by: 'done',
      })
    },
  )

  test('a signal of null goes straight to SIGKILL', () => {
    const agent = agentScript()
    agent.running()
    agent.kill(FORK, { signal: null })
    expect(typesOf(agent.step({ type: 'noted', forkId: FORK, at: 1001 }))).toEqual(['kill-tree'])
  })

  test('a prepared or unknown fork is cancelled by a kill', () => {
    const agent = agentScript()
    agent.prepare(specOf(FORK))
    expect(typesOf(agent.kill(FORK))).toEqual(['cancel'])
    expect(typesOf(agent.kill('run-9.x.0.1'))).toEqual(['cancel'])
    expect(
      agent.replyIn(
        agent.step({ type: 'cancelled', forkId: 'run-9.x.0.1', proven: true, fault: null, at: 1001 }),
      ),
    ).toMatchObject({ forks: [{ phase: 'cancelled' }] })
  })

  test('the root ends by itself: told at once, and what is left of its tree gets the role’s signal and grace', () => {
    const agent = agentScript()
    agent.running(specOf(FORK, { stop: { signal: 'SIGINT', graceMs: 700, order: 'parallel' } }))
    const exit = agent.exited(FORK, { code: 7 })
    expect(typesOf(exit)).toEqual(['fact exited', 'timer'])
    expect(only(exit, 'fact')[0]!.report.exit).toEqual({
      code: 7,
      signal: null,
      oom: false,
      unknown: null,
      killedBy: null,
    })
    const residue = agent.step({ type: 'timer', timer: { kind: 'residue', forkId: FORK }, at: 1020 })
    expect(only(residue, 'signal-tree').map(({ signal }) => signal)).toEqual(['SIGINT'])
    expect(only(residue, 'timer')[0]!.afterMs).toBe(700)
    expect(typesOf(agent.step(grace(1, 1720)))).toEqual(['kill-tree'])
    agent.at = 1730
    expect(only(agent.empty(FORK), 'fact')[0]!.report.receipt!.ms).toBe(710)
  })

  test('a tree that is empty at once gets no signal', () => {
    const agent = agentScript()
    agent.running()
    agent.exited(FORK, { code: 0 })
    agent.empty(FORK)
    expect(agent.step({ type: 'timer', timer: { kind: 'residue', forkId: FORK }, at: 1020 })).toEqual([])
  })

  test('a SIGKILL after which the tree is not empty is repeated', () => {
    const agent = agentScript()
    agent.running()
    agent.kill(FORK, { signal: null })
    agent.step({ type: 'noted', forkId: FORK, at: 1001 })
    expect(only(agent.step({ type: 'tree-killed', forkId: FORK, at: 1100 }), 'timer')[0]!.timer.kind).toBe(
      'kill-again',
    )
    expect(
      typesOf(agent.step({ type: 'timer', timer: { kind: 'kill-again', forkId: FORK }, at: 6100 })),
    ).toEqual(['kill-tree'])
    agent.exited(FORK, { signal: 'SIGKILL' })
    agent.empty(FORK)
    expect(agent.step({ type: 'timer', timer: { kind: 'kill-again', forkId: FORK }, at: 9100 })).toEqual([])
  })

  test('late answers and timers of a fork that is gone change nothing', () => {
    const agent = agentScript()
    agent.running()
    agent.kill(FORK)
    agent.exited(FORK, { code: 0 })
    agent.empty(FORK)
    for (const event of [
      { type: 'noted', forkId: FORK, at: 1 },
      { type: 'pre-stopped', forkId: FORK, at: 1 },
      grace(1, 1),
      { type: 'tree-killed', forkId: FORK, at: 1 },
    ] as const)
      expect(agent.step(event)).toEqual([])
    expect(agent.exited(FORK, { code: 9 })).toEqual([])
    expect(agent.empty(FORK)).toEqual([])
    expect(agent.replyIn(agent.kill(FORK))).toMatchObject({ forks: [{ phase: 'gone', exit: { code: 0 } }] })
  })
})

describe('to the root, then to what it left', () => {
  const residue = (at: number) => ({ type: 'timer', timer: { kind: 'residue', forkId: FORK }, at }) as const

  function stopping(stop: Partial<ForkSpec['stop']> = {}) {
    const agent = agentScript()
    const ladder = { signal: 'SIGTERM', graceMs: 1000, order: 'parallel', ...stop } as const
    agent.running(specOf(FORK, { stop: ladder }))
    agent.kill(FORK, { signal: ladder.signal, graceMs: ladder.graceMs })
    return { agent, first: agent.step({ type: 'noted', forkId: FORK, at: 1000 }) }
  }

  test('the root ends within its stop: what is left gets the signal once, and SIGKILL comes when it would have', () => {
    const { agent, first } = stopping()
    expect(only(first, 'signal-root')).toEqual([{ type: 'signal-root', forkId: FORK, signal: 'SIGTERM' }])
    agent.at = 1400
    expect(only(agent.exited(FORK, { code: 0 }), 'timer')[0]!.timer.kind).toBe('residue')
    expect(agent.step(residue(1420))).toEqual([{ type: 'signal-tree', forkId: FORK, signal: 'SIGTERM' }])
    expect(agent.step(residue(1500))).toEqual([])
    expect(typesOf(agent.step(grace(1, 2000)))).toEqual(['kill-tree'])
  })

  test('the root ends and nothing is left: nobody gets a second signal', () => {
    const { agent } = stopping()
    agent.exited(FORK, { code: 0 })
    agent.empty(FORK)
    expect(agent.step(residue(1420))).toEqual([])
  })

  test('to: tree: all of its processes at once, and none again when the root has ended', () => {
    const { agent, first } = stopping({ to: 'tree' })
    expect(only(first, 'signal-tree')).toHaveLength(1)
    expect(only(first, 'signal-root')).toEqual([])
    expect(only(agent.exited(FORK, { code: 0 }), 'timer')).toEqual([])
    expect(agent.step(residue(1420))).toEqual([])
    expect(typesOf(agent.step(grace(1, 2000)))).toEqual(['kill-tree'])
  })

  test('a stop that comes while what the root left is ended: no second signal, and its grace may be shorter', () => {
    const agent = agentScript()
    agent.running()
    agent.exited(FORK, { code: 0 })
    expect(only(agent.step(residue(1020)), 'signal-tree')).toHaveLength(1)
    const again = agent.kill(FORK, { graceMs: 100 })
    expect(typesOf(again)).toEqual(['timer', 'reply'])
    expect(typesOf(agent.step(grace(2, 1120)))).toEqual(['kill-tree'])
  })

  test('a second stop of the same grace sends nothing', () => {
    const { agent } = stopping()
    expect(typesOf(agent.kill(FORK))).toEqual(['reply'])
  })

  test('a stop that waits for its start: the signal leaves once, when the start is known', () => {
    const agent = agentScript()
    const token = agent.prepare(specOf(FORK))
    agent.start(token, FORK)
    expect(typesOf(agent.kill(FORK))).toEqual(['reply'])
    agent.started(FORK)
    expect(only(agent.step({ type: 'noted', forkId: FORK, at: 1001 }), 'signal-root')).toHaveLength(1)
  })

  test('grace 0 sends no signal but SIGKILL', () => {
    expect(typesOf(stopping({ graceMs: 0 }).first)).toEqual(['kill-tree'])
  })

  const LADDER: ForkSpec['stop'] = {
    signal: 'SIGINT',
    graceMs: 3000,
    further: [{ signal: 'SIGTERM', afterMs: 1000 }],
    order: 'parallel',
  }

  test('two signals with their times: each once, in order, then SIGKILL', () => {
    const { agent, first } = stopping(LADDER)
    expect(only(first, 'signal-root').map(({ signal }) => signal)).toEqual(['SIGINT'])
    expect(only(first, 'timer')[0]!.afterMs).toBe(1000)
    const second = agent.step(grace(1, 2000))
    expect(only(second, 'signal-root').map(({ signal }) => signal)).toEqual(['SIGTERM'])
    expect(only(second, 'timer')[0]!.afterMs).toBe(2000)
    expect(agent.step(grace(1, 2000))).toEqual([])
    expect(typesOf(agent.step(grace(2, 4000)))).toEqual(['kill-tree'])
  })

  test('two signals, and the root ends after the first: the rest gets that one, and the second when it is due', () => {
    const { agent } = stopping(LADDER)
    agent.exited(FORK, { code: 0 })
    expect(typesOf(agent.step(residue(1500)))).toEqual(['signal-tree'])
    expect(only(agent.step(grace(1, 2000)), 'signal-tree').map(({ signal }) => signal)).toEqual(['SIGTERM'])
    expect(agent.step(residue(2100))).toEqual([])
  })

  test('two signals, shortened below the time of the second: it is left out', () => {
    const { agent } = stopping(LADDER)
    expect(only(agent.kill(FORK, { graceMs: 500 }), 'timer')[0]!.afterMs).toBe(500)
    expect(typesOf(agent.step(grace(2, 1500)))).toEqual(['kill-tree'])
  })

  test('two signals, shortened to a time after the second: it still comes', () => {
    const { agent } = stopping(LADDER)
    expect(only(agent.kill(FORK, { graceMs: 2000 }), 'timer')[0]!.afterMs).toBe(1000)
    expect(typesOf(agent.step(grace(2, 2000)))).toEqual(['signal-root', 'note', 'timer'])
  })
})
