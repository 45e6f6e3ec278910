import { describe, expect, test } from 'vitest'
import type { Receipt } from '../../../../src/protocol/shapes.ts'
import { agentScript, FORK, only, recoveredFork, specOf, typesOf } from '../../../support/agent-steps.ts'

function factsOf(commands: Parameters<typeof typesOf>[0]): string[] {
  return only(commands, 'fact').map((fact) => fact.id)
}
const LEFT = { processes: [{ pid: 8, command: 'helper', signal: 'SIGTERM' }], more: 0 }
const EXIT = { code: 3, signal: null, oom: false, unknown: null, exitedAt: 9 }

describe('after the agent died', () => {
  test('it hears no orders before it has read the state log’s tail, and tries until it can', () => {
    const agent = agentScript({ join: false })
    expect(typesOf(agent.first)).toEqual(['read-tail'])
    expect(only(agent.step({ type: 'tail-unreadable', at: 10 }), 'timer')[0]!.timer).toEqual({
      kind: 'read-tail',
    })
    expect(typesOf(agent.step({ type: 'timer', timer: { kind: 'read-tail' }, at: 210 }))).toEqual([
      'read-tail',
    ])
    expect(only(agent.step({ type: 'tick', at: 500, loopLagMs: 0 }), 'beat')).toEqual([])
    expect(typesOf(agent.step({ type: 'tail', epoch: null, seq: 0, at: 600 }))).toEqual(['join', 'beat'])
  })

  test('a worker that runs is re-attached; its start is told again under the same id unless it was acknowledged [FC-3]', () => {
    expect(factsOf(agentScript({ recovered: [recoveredFork()] }).first)).toEqual([`${FORK}.started`])
    const noted = agentScript({ recovered: [recoveredFork({ notes: { acked: ['started'] } })] })
    expect(factsOf(noted.first)).toEqual([])
    expect(typesOf(noted.first)).toContain('ship-logs')
    expect(noted.state.forks.get(FORK)!.phase).toBe('running')
  })

  test('a worker that exited while the agent was dead is told with its true exit [FC-3]', () => {
    const agent = agentScript({
      recovered: [recoveredFork({ phase: 'exited', exit: EXIT, notes: { acked: ['started'] } })],
    })
    expect(only(agent.first, 'fact')).toMatchObject([
      { id: `${FORK}.exited`, report: { exit: { code: 3, killedBy: null }, exitedAt: 9 } },
    ])
    expect(
      only(agent.step({ type: 'timer', timer: { kind: 'residue', forkId: FORK }, at: 30 }), 'signal-tree'),
    ).toHaveLength(1)
  })

  test('a person’s signal ended it while the agent was dead: its exit still says whose it was', () => {
    const signals = [{ signal: 'SIGUSR1', by: 'ada', to: 'root' }]
    const exit = { ...EXIT, code: null, signal: 'SIGUSR1' }
    const [fact] = only(
      agentScript({
        recovered: [recoveredFork({ phase: 'exited', exit, notes: { signals, acked: ['started'] } })],
      }).first,
      'fact',
    )
    expect(fact!.report).toMatchObject({ signals, exit: { sentBy: 'ada', killedBy: null } })
    const stop = { killedBy: { by: 'user', name: 'eve' }, signal: 'SIGUSR1', graceMs: 1000 }
    const stopped = agentScript({
      recovered: [recoveredFork({ phase: 'gone', exit, notes: { signals, stop } })],
    })
    expect(only(stopped.first, 'fact')[0]!.report.exit).not.toHaveProperty('sentBy')
  })

  test('the agent died between a signal and the exit: the exit still says who ordered it', () => {
    const stop = { killedBy: { by: 'user', name: 'ada' }, signal: 'SIGTERM', graceMs: 1000 }
    const agent = agentScript({
      recovered: [
        recoveredFork({
          phase: 'gone',
          exit: { ...EXIT, code: null, signal: 'SIGTERM' },
          notes: { stop, acked: ['started'] },
          receipt: { outcome: 'gone', survivors: [], reason: null, ms: 4 },
        }),
      ],
    })
    expect(only(agent.first, 'fact').map((fact) => [fact.what, fact.report.exit!.killedBy])).toEqual([
      ['exited', { by: 'user', name: 'ada' }],
      ['gone', { by: 'user', name: 'ada' }],
    ])
    expect(typesOf(agent.first)).toContain('finish-logs')
  })

  test.each(['SIGTERM', null])(
    'it ended by itself, was then told to stop (%j), and the agent died again: its exit is its own',
    (signal) => {
      const agent = agentScript({
        recovered: [recoveredFork({ phase: 'exited', exit: EXIT, notes: { acked: ['started'] } })],
      })
      agent.kill(FORK, { signal })
      const { notes } = only(agent.ack(FORK, 'exited'), 'note').at(-1)!
      expect(notes).toMatchObject({ stop: { signal } })
      const receipt: Receipt = { outcome: 'gone', survivors: [], reason: null, ms: 4, left: LEFT }
      for (const end of [{ phase: 'exited' }, { phase: 'gone', receipt }] as const) {
        const { state } = agentScript({ recovered: [recoveredFork({ ...end, exit: EXIT, notes })] })
        expect(state.forks.get(FORK)).toMatchObject({ ...end, exit: { code: 3, killedBy: null } })
      }
    },
  )

  test.each([
    { by: 'user', name: 'ada' },
    { by: 'quota', account: 'lab' },
  ])('a stop that was ordered goes on, its cause (%j) as it was told', (killedBy) => {
    const stop = { killedBy, signal: 'SIGTERM', graceMs: 1000 }
    const agent = agentScript({ recovered: [recoveredFork({ notes: { stop, acked: ['started'] } })] })
    expect(agent.state.forks.get(FORK)!.stop).toMatchObject(stop)
    expect(typesOf(agent.step({ type: 'noted', forkId: FORK, at: 5 }))).toEqual([
      'signal-root',
      'note',
      'timer',
    ])
  })

  test('the agent died after the signal: it is not sent again, and SIGKILL comes after the grace', () => {
    const stop = { killedBy: { by: 'user', name: 'ada' }, signal: 'SIGTERM', graceMs: 1000, sent: 1 }
    const agent = agentScript({ recovered: [recoveredFork({ notes: { stop, acked: ['started'] } })] })
    expect(only(agent.first, 'signal-root')).toEqual([])
    const [timer] = only(agent.first, 'timer')
    expect(timer).toMatchObject({ afterMs: 1000, timer: { kind: 'grace' } })
    expect(typesOf(agent.step({ type: 'timer', timer: timer!.timer, at: 1000 }))).toEqual(['kill-tree'])
  })

  test('the agent died between the signal to a root and the one to what that left: the rest still gets it', () => {
    const stop = { killedBy: { by: 'user', name: 'ada' }, signal: 'SIGTERM', graceMs: 1000, sent: 1 }
    const agent = agentScript({
      recovered: [
        recoveredFork({ phase: 'exited', exit: EXIT, notes: { stop, acked: ['started', 'exited'] } }),
      ],
    })
    expect(typesOf(agent.step({ type: 'timer', timer: { kind: 'residue', forkId: FORK }, at: 20 }))).toEqual([
      'signal-tree',
    ])
  })

  test('a kill at once of what was left of a tree stays one', () => {
    const agent = agentScript({
      recovered: [
        recoveredFork({
          phase: 'exited',
          exit: EXIT,
          notes: {
            stop: { killedBy: { by: 'attempt' }, signal: null, graceMs: 0 },
            acked: ['started', 'exited'],
          },
        }),
      ],
    })
    expect(typesOf(agent.first)).toContain('kill-tree')
  })

  test('an old prepare can be prepared again with a new token, and lapses otherwise', () => {
    const left = () => agentScript({ recovered: [recoveredFork({ phase: 'prepared', started: null })] })
    const lapsing = left()
    expect(only(lapsing.first, 'timer')[0]).toMatchObject({
      afterMs: 30_000,
      timer: { kind: 'lapse', token: '' },
    })
    expect(lapsing.replyIn(lapsing.start('', FORK))).toBe('EXPIRED')
    expect(typesOf(lapsing.step({ type: 'timer', timer: { kind: 'lapse', token: '' }, at: 30_000 }))).toEqual(
      ['drop', 'unserve'],
    )
    const again = left()
    const token = again.prepare(specOf(FORK))
    expect(again.step({ type: 'timer', timer: { kind: 'lapse', token: '' }, at: 30_000 })).toEqual([])
    expect(typesOf(again.start(token, FORK))).toEqual(['start'])
  })

  test('an end that was told but for its last logs: only these are told', () => {
    const agent = agentScript({
      recovered: [
        recoveredFork({
          phase: 'gone',
          exit: EXIT,
          receipt: { outcome: 'gone', survivors: [], reason: null, ms: 4 },
          notes: { acked: ['started', 'exited', 'gone'], logsFinal: { stdout: { bytes: 3, lost: [] } } },
        }),
      ],
    })
    expect(factsOf(agent.first)).toEqual([`${FORK}.logs-final`])
  })

  test('a start that failed keeps its reason', () => {
    const failed = {
      startFault: 'no such directory',
      exit: { code: null, signal: null, oom: null, unknown: 'could not start', killedBy: null },
      exitedAt: null,
    }
    const agent = agentScript({
      recovered: [recoveredFork({ phase: 'cancelled', started: null, notes: { failed } })],
    })
    expect(only(agent.first, 'fact').map((fact) => [fact.what, fact.report.startFault])).toEqual([
      ['exited', 'no such directory'],
      ['gone', 'no such directory'],
    ])
  })
})
