/** A stop that is a checkpoint, as the agent decides: what it asks and tells, what a later agent knows. */
import { describe, expect, test } from 'vitest'
import type { ForkSpec } from '../../../../src/protocol/launch/resolved.ts'
import type { Recovered } from '../../../../src/protocol/host.ts'
import type { Receipt } from '../../../../src/protocol/shapes.ts'
import { agentScript, FORK, only, recoveredFork, specOf, typesOf } from '../../../support/agent-steps.ts'

const SAVED = { at: 5000, ms: 1200 }

function specWith(stop: Partial<ForkSpec['stop']> = {}): ForkSpec {
  return specOf(FORK, {
    stop: { signal: 'SIGTERM', graceMs: 1000, order: 'reverse', saved: { log: 'saved' }, ...stop },
  })
}
function stopping(spec = specWith()) {
  const agent = agentScript()
  agent.running(spec)
  const ordered = agent.kill(FORK)
  agent.step({ type: 'noted', forkId: FORK, at: 1001 })
  return { agent, ordered }
}
function saysIt(agent: ReturnType<typeof agentScript>, saved: typeof SAVED | null = SAVED) {
  return agent.step({ type: 'host', event: { what: 'saved', forkId: FORK, saved }, at: 1002 })
}
function factsOf(commands: ReturnType<typeof saysIt>) {
  return only(commands, 'fact').map(({ what, report }) => [what, report.saved])
}

describe('a stop that is a checkpoint', () => {
  test('its output counts from the order on, before the note and the first signal', () => {
    expect(typesOf(stopping().ordered)).toEqual(['watch-saved', 'note', 'reply'])
  })

  test('it says so: one fact, and none at the end', () => {
    const { agent } = stopping()
    expect(factsOf(saysIt(agent))).toEqual([['saved', SAVED]])
    expect(saysIt(agent)).toEqual([])
    expect(factsOf(agent.exited(FORK, { code: 0 }))).toEqual([['exited', SAVED]])
    expect(factsOf(agent.empty(FORK))).toEqual([['gone', SAVED]])
  })

  test('it says so after its root has ended: what is left of it may', () => {
    const { agent } = stopping()
    agent.exited(FORK, { code: 0 })
    expect(factsOf(saysIt(agent))).toEqual([['saved', SAVED]])
  })

  test('it does not: that is told before it is gone, once', () => {
    const { agent } = stopping()
    expect(factsOf(agent.exited(FORK, { code: 0 }))).toEqual([['exited', null]])
    expect(factsOf(agent.empty(FORK))).toEqual([
      ['saved', null],
      ['gone', null],
    ])
  })

  test('no report says that it is gone before its receipt is known', () => {
    const { agent } = stopping()
    agent.exited(FORK, { code: 0 })
    const survivors = [{ pid: 7, command: 'stuck' }]
    const proof = { outcome: 'survivors' as const, survivors, reason: null }
    const end = agent.step({ type: 'host', event: { what: 'empty', forkId: FORK, receipt: proof }, at: 1500 })
    expect(only(end, 'fact').map(({ report }) => [report.phase, report.receipt?.outcome])).toEqual([
      ['exited', undefined],
      ['gone', 'survivors'],
    ])
  })

  test('nobody can know: no word of it', () => {
    const { agent } = stopping()
    expect(factsOf(saysIt(agent, null))).toEqual([])
    agent.exited(FORK, { code: 0 })
    expect(factsOf(agent.empty(FORK))).toEqual([['gone', undefined]])
  })

  test('a kill asks nothing, and is "no"', () => {
    const agent = agentScript()
    agent.running(specWith())
    expect(typesOf(agent.kill(FORK, { signal: null }))).toEqual(['note', 'reply'])
    agent.exited(FORK, { signal: 'SIGKILL' })
    expect(factsOf(agent.empty(FORK))[0]).toEqual(['saved', null])
  })

  test('no grace: asked, killed without a signal, and "no"', () => {
    const agent = agentScript()
    agent.running(specWith({ graceMs: 0 }))
    expect(typesOf(agent.kill(FORK, { graceMs: 0 }))).toEqual(['watch-saved', 'note', 'reply'])
    expect(typesOf(agent.step({ type: 'noted', forkId: FORK, at: 1001 }))).toEqual(['kill-tree'])
    agent.exited(FORK, { signal: 'SIGKILL' })
    expect(factsOf(agent.empty(FORK))[0]).toEqual(['saved', null])
  })

  test('a second stop, and a kill within the stop, change nothing of it', () => {
    const { agent } = stopping()
    expect(only(agent.kill(FORK), 'watch-saved')).toEqual([])
    saysIt(agent)
    agent.kill(FORK, { signal: null })
    agent.exited(FORK, { signal: 'SIGKILL' })
    expect(factsOf(agent.empty(FORK))).toEqual([['gone', SAVED]])
  })

  test('it ended by itself: nothing to say, also of a stop that comes while its tree ends', () => {
    const agent = agentScript()
    agent.running(specWith())
    expect(factsOf(agent.exited(FORK, { code: 0 }))).toEqual([['exited', undefined]])
    expect(only(agent.kill(FORK), 'watch-saved')).toEqual([])
    expect(factsOf(agent.empty(FORK))).toEqual([['gone', undefined]])
  })

  test('a role without it: nothing is asked or told', () => {
    const { agent, ordered } = stopping(specOf(FORK))
    expect(only(ordered, 'watch-saved')).toEqual([])
    agent.exited(FORK, { code: 0 })
    expect(factsOf(agent.empty(FORK))).toEqual([['gone', undefined]])
  })

  test('a stop by the agent itself, that was not ready in time: asked like any other', () => {
    const agent = agentScript()
    const timing = { timeoutMs: 100, intervalMs: 10, attemptTimeoutMs: 10, failures: 1 }
    agent.running({ ...specWith(), ready: { kind: 'log', pattern: 'x', ...timing } })
    const late = agent.step({ type: 'timer', timer: { kind: 'ready', forkId: FORK }, at: 2000 })
    expect(only(late, 'watch-saved')).toHaveLength(1)
  })

  test('by the fence: asked like any other', () => {
    const agent = agentScript()
    agent.running({ ...specWith(), fenceAfterMs: 3000 })
    expect(only(agent.step({ type: 'tick', at: 9000, loopLagMs: 0 }), 'watch-saved')).toHaveLength(1)
  })

  test('a program that could not be executed was asked nothing', () => {
    const agent = agentScript()
    const token = agent.prepare(specWith())
    agent.start(token, FORK)
    agent.kill(FORK)
    agent.started(FORK, null)
    agent.exited(FORK, { code: 127 })
    expect(factsOf(agent.empty(FORK))).toEqual([['gone', undefined]])
  })
})

describe('the agent was killed within the stop', () => {
  const stop = { killedBy: { by: 'user', name: 'me' }, signal: 'SIGTERM', graceMs: 1000, sent: 1 }
  const exit = { code: 0, signal: null, oom: false, unknown: null, exitedAt: 3 }
  const receipt = { outcome: 'gone', survivors: [], reason: null, ms: 1 } satisfies Receipt
  const back = (changes: Partial<Recovered>): ReturnType<typeof agentScript> =>
    agentScript({
      recovered: [recoveredFork({ spec: specWith(), notes: { stop, acked: ['started'] }, ...changes })],
    })

  test('it has not said so yet: the next agent hears it', () => {
    const agent = back({ saved: null })
    expect(factsOf(agent.first)).toEqual([])
    expect(factsOf(saysIt(agent))).toEqual([['saved', SAVED]])
  })

  test('it said so: told again under the same id, unless it was acknowledged', () => {
    expect(only(back({ saved: SAVED }).first, 'fact').map(({ id }) => id)).toEqual([`${FORK}.saved`])
    const acked = back({ saved: SAVED, notes: { stop, acked: ['started', 'saved'] } })
    expect(only(acked.first, 'fact')).toEqual([])
  })

  test.each([
    [SAVED, SAVED],
    [null, null],
  ])('it is gone and has said %j: told before that', (saved, word) => {
    const { first } = back({ phase: 'gone', exit, receipt, saved })
    expect(factsOf(first).map(([what]) => what)).toEqual(['saved', 'exited', 'gone'])
    expect(factsOf(first)[0]).toEqual(['saved', word])
  })

  test('it was killed, and nobody asked: "no"', () => {
    const { first } = back({ phase: 'gone', exit, receipt, notes: { stop: { ...stop, signal: null } } })
    expect(factsOf(first)).toContainEqual(['saved', null])
  })

  test('it had ended by itself before it was killed: nothing to say', () => {
    const late = { ...stop, signal: null, afterExit: true }
    const { first } = back({ phase: 'gone', exit, receipt, notes: { stop: late } })
    expect(factsOf(first).map(([what]) => what)).toEqual(['started', 'exited', 'gone'])
  })

  test('the shim stopped it for its fence, without us: not known', () => {
    const { first } = back({ phase: 'gone', exit: { ...exit, fenced: true }, receipt, notes: {} })
    expect(factsOf(first)).toContainEqual(['gone', undefined])
    expect(factsOf(first).map(([what]) => what)).not.toContain('saved')
  })
})
