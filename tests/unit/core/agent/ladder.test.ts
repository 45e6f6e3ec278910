import { describe, expect, test } from 'vitest'
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
    expect(typesOf(agent.step({ type: 'noted', forkId: FORK, at: 1001 }))).toEqual(['signal-tree', 'timer'])
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
    expect(typesOf(after)).toEqual(['signal-tree', 'timer'])
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
    expect(only(residue, 'signal-tree')[0]!.signal).toBe('SIGINT')
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
