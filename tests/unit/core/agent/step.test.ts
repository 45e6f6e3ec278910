import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AgentEvent, AgentTimer, Order } from '../../../../src/core/agent/agent-state.ts'
import { agentScript, CAPACITY, EPOCH, only, recoveredFork, specOf } from '../../../support/agent-steps.ts'
import { bindingsOf, preparedFork } from '../../../support/fork-spec.ts'

const FORKS = ['run-1.trainer.0.1', 'run-1.trainer.1.1']
const TOKENS = ['', '01ARZ3NDEKTSV4RRFFQ69G5FAV-1', '01ARZ3NDEKTSV4RRFFQ69G5FAV-2']
const FAULT = { code: 'SPOOL', message: 'full', data: {}, retryable: true }
const forkId = fc.constantFrom(...FORKS)
const token = fc.constantFrom(...TOKENS)
const at = fc.integer({ min: 0, max: 40_000 })
const bool = fc.boolean()

const order: fc.Arbitrary<Order> = fc.oneof(
  fc.subarray(FORKS, { minLength: 1 }).map((ids): Order => ({
    verb: 'prepare',
    body: {
      forks: ids.map((id) => specOf(id, { preStop: { kind: 'exec', command: ['x'], timeoutMs: 1 } })),
      lapseMs: 1000,
    },
  })),
  fc.tuple(token, forkId).map(([t, id]): Order => ({
    verb: 'start',
    body: { token: t, forks: [{ forkId: id, bindings: bindingsOf() }] },
  })),
  fc
    .tuple(forkId, fc.constantFrom('SIGTERM', null), fc.constantFrom(0, 500, 5000))
    .map(([id, signal, graceMs]): Order => ({
      verb: 'kill',
      body: { forks: [{ forkId: id, signal, graceMs, killedBy: { by: 'user', name: 'me' } }] },
    })),
  forkId.map((id): Order => ({ verb: 'cancel', body: { forks: [id], killedBy: { by: 'attempt' } } })),
  forkId.map((id): Order => ({ verb: 'release', body: { forks: [id] } })),
  fc.constant<Order>({ verb: 'inventory', body: {} }),
)
const timer: fc.Arbitrary<AgentTimer> = fc.oneof(
  token.map((t): AgentTimer => ({ kind: 'lapse', token: t })),
  fc
    .tuple(forkId, fc.integer({ min: 0, max: 3 }))
    .map(([id, generation]): AgentTimer => ({ kind: 'grace', forkId: id, generation })),
  fc
    .tuple(fc.constantFrom('residue', 'kill-again', 'ready'), forkId)
    .map(([kind, id]) => ({ kind, forkId: id }) as AgentTimer),
)
const event: fc.Arbitrary<AgentEvent> = fc.oneof(
  fc.constantFrom('10.0.0.7', '10.0.0.8').map((host): AgentEvent => ({
    type: 'capacity',
    capacity: { ...CAPACITY, host },
  })),
  {
    weight: 6,
    arbitrary: fc.tuple(order, at, fc.nat()).map(([request, a, n]): AgentEvent => ({
      type: 'order',
      order: n,
      request,
      epoch: EPOCH,
      notAfter: a + 1,
      at: a,
    })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(token, bool, at).map(([t, ok, a]): AgentEvent => ({
      type: 'prepared',
      token: t,
      forkIds: FORKS,
      leases: ok ? FORKS.map(() => preparedFork()) : null,
      fault: ok ? null : FAULT,
      at: a,
    })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(forkId, fc.constantFrom('ok', 'fault', 'no-exec'), at)
      .map(([id, how, a]): AgentEvent => ({
        type: 'started',
        forkId: id,
        start: how === 'fault' ? null : { pid: how === 'ok' ? 4 : null, startedAt: 1 },
        fault: how === 'fault' ? FAULT : null,
        at: a,
      })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(forkId, bool, bool, at).map(([id, proven, ok, a]): AgentEvent => ({
      type: 'cancelled',
      forkId: id,
      proven: proven && ok,
      fault: ok ? null : FAULT,
      at: a,
    })),
  },
  {
    weight: 6,
    arbitrary: fc
      .tuple(fc.constantFrom('noted', 'pre-stopped', 'tree-killed'), forkId, at)
      .map(([type, id, a]) => ({ type, forkId: id, at: a }) as AgentEvent),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(forkId, at).map(([id, a]): AgentEvent => ({
      type: 'host',
      at: a,
      event: {
        what: 'exited',
        forkId: id,
        exit: { code: 0, signal: null, oom: null, unknown: null },
        exitedAt: 1,
        stderrTail: [],
        errorFile: null,
      },
    })),
  },
  {
    weight: 3,
    arbitrary: fc.tuple(forkId, at).map(([id, a]): AgentEvent => ({
      type: 'host',
      at: a,
      event: { what: 'empty', forkId: id, receipt: { outcome: 'gone', survivors: [], reason: null } },
    })),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(forkId, bool, at).map(([id, ready, a]): AgentEvent => ({
      type: 'host',
      at: a,
      event: { what: 'probe', forkId: id, ready, reason: null },
    })),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(forkId, fc.constantFrom('started', 'exited', 'gone', 'logs-final', 'cancelled'))
      .map(([id, what]) => ({ type: 'fact-acked', forkId: id, what }) as AgentEvent),
  },
  { weight: 2, arbitrary: forkId.map((id): AgentEvent => ({ type: 'logs-final', forkId: id, offsets: {} })) },
  {
    weight: 3,
    arbitrary: fc.tuple(timer, at).map(([t, a]): AgentEvent => ({ type: 'timer', timer: t, at: a })),
  },
  { weight: 1, arbitrary: at.map((a): AgentEvent => ({ type: 'tick', at: a, loopLagMs: 0 })) },
  { weight: 1, arbitrary: at.map((a): AgentEvent => ({ type: 'tail-unreadable', at: a })) },
)
const RANK = { preparing: 0, prepared: 1, starting: 2, running: 3, exited: 4, gone: 5, cancelled: 5 } as const

test('any events in any order: phases only move forward, ends are told once, orders answered at most once, causes noted before signals', () => {
  fc.assert(
    fc.property(fc.array(event, { maxLength: 60 }), bool, (events, recovered) => {
      const agent = agentScript({
        recovered: recovered ? [recoveredFork({ notes: { acked: ['started'] } })] : [],
      })
      const phases = new Map<string, number>()
      const told = new Set<string>()
      const answered = new Set<number>()
      const noted = new Set<string>()
      let rev = agent.state.rev
      let orders = 0
      for (const one of events) {
        const commands = agent.step(one.type === 'order' ? { ...one, order: ++orders } : one)
        if (one.type === 'capacity') rev = agent.state.rev
        if (one.type === 'noted') noted.add(one.forkId)
        for (const { rev: next, what, report } of only(commands, 'fact')) {
          expect(next).toBe(++rev)
          if (what === 'prepared' || what === 'ready' || what === 'unready') continue
          expect(told.has(`${report.forkId} ${what}`)).toBe(false)
          told.add(`${report.forkId} ${what}`)
          if (what === 'gone') expect(told.has(`${report.forkId} exited`)).toBe(true)
        }
        for (const command of commands) {
          if (command.type === 'reply' || command.type === 'fault') {
            expect(answered.has(command.order)).toBe(false)
            answered.add(command.order)
          }
          if (
            command.type === 'signal-root' ||
            command.type === 'signal-tree' ||
            command.type === 'kill-tree'
          ) {
            const fork = agent.state.forks.get(command.forkId)!
            expect(
              fork.stop === null ||
                fork.stop.killedBy === null ||
                noted.has(command.forkId) ||
                fork.exit !== null,
            ).toBe(true)
          }
          // forgotten: a later life of the id would be another one's
          if (command.type === 'release' || command.type === 'drop') {
            phases.delete(command.forkId)
            for (const key of told) if (key.startsWith(command.forkId)) told.delete(key)
            noted.delete(command.forkId)
          }
        }
        for (const id of FORKS) {
          const fork = agent.state.forks.get(id)
          if (fork === undefined) {
            phases.delete(id)
            continue
          }
          const rank = RANK[fork.phase]
          expect(rank).toBeGreaterThanOrEqual(phases.get(id) ?? 0)
          phases.set(id, rank)
          expect(fork.held.length).toBeLessThanOrEqual(events.length)
        }
      }
    }),
    { numRuns: 1500 },
  )
})
