/** Any events in any order: the step never throws, terminal states absorb, and the ledger adds up. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { stageOf } from '../../../../../src/core/coordinator/stages.ts'
import type { CoordinatorState } from '../../../../../src/core/coordinator/types.ts'
import { resourcesOf } from '../../../../../src/protocol/launch/resolved.ts'
import { isTerminal, type RunState } from '../../../../../src/protocol/shapes.ts'
import { coordinatorWith, type Story } from '../../../../support/coordinator-steps.ts'
import { exitOf, fault } from '../../../../support/coordinator/reports.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

const documents = [
  { roles: { job: task({ replicas: 2, resources: { cpus: 1 } }) } },
  {
    roles: {
      api: service({ ready: { exec: ['true'] }, restart: 'on-failure' }),
      job: task({
        dependsOn: { api: 'ready' },
        restart: { policy: 'on-failure', max: 1, backoff: ['100ms', '1s'] },
      }),
    },
  },
  {
    roles: {
      trainer: torchrun('2x2', {
        restart: { policy: 'on-failure', max: 2, backoff: ['100ms', '1s'], scope: 'run' },
      }),
      api: service(),
    },
    stopWhen: 'trainer.done',
  },
  {
    roles: { job: task({ failFast: false, replicas: 3, restart: 'always' }) },
    deadlines: { run: '20s', start: '5s', queue: '30s' },
  },
]
const NODES = ['n0', 'n1', 'n2']

type Act =
  | { do: 'launch'; which: number }
  | { do: 'stop' | 'kill' | 'force' | 'stop-one'; which: number }
  | { do: 'exit'; which: number; code: number; tree: boolean }
  | { do: 'ready'; which: number; ready: boolean }
  | { do: 'advance'; ms: number }
  | { do: 'silence' | 'restart' | 'wipe' | 'let-go' | 'evidence'; node: number }
  | { do: 'refuse'; node: number; verb: number; code: number }
  | { do: 'hold'; node: number; verb: number }
  | { do: 'failover' }
  | { do: 'stale'; which: number; attempt: number }
  | { do: 'drain'; node: number; on: boolean }
  | { do: 'link'; up: boolean }

const VERBS = ['prepare', 'start', 'kill', 'cancel', 'release', 'inventory'] as const
const CODES = [
  'TIMEOUT',
  'EXPIRED',
  'PORT_ALLOC',
  'GPU_ALLOC',
  'WORKER_CONFIG',
  'CANCELLED',
  'STALE_EPOCH',
  'STORE_UNKNOWN',
  'OVERLOADED',
  'SPOOL',
  'CONN',
] as const

const small = fc.nat({ max: 30 })
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 3, arbitrary: fc.record({ do: fc.constant('launch' as const), which: small }) },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constantFrom('stop' as const, 'kill' as const, 'force' as const, 'stop-one' as const),
      which: small,
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant('exit' as const),
      which: small,
      code: fc.constantFrom(0, 0, 1, 7),
      tree: fc.boolean(),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant('ready' as const), which: small, ready: fc.boolean() }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant('advance' as const),
      ms: fc.constantFrom(100, 700, 4000, 35_000),
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      do: fc.constantFrom(
        'silence' as const,
        'restart' as const,
        'wipe' as const,
        'let-go' as const,
        'evidence' as const,
      ),
      node: small,
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ do: fc.constant('refuse' as const), node: small, verb: small, code: small }),
  },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('hold' as const), node: small, verb: small }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('failover' as const) }) },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant('stale' as const), which: small, attempt: fc.nat({ max: 4 }) }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('drain' as const), node: small, on: fc.boolean() }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('link' as const), up: fc.boolean() }) },
)

type WorkerAct = Extract<Act, { which: number }>

/** What happens to one worker of a run, wherever it is now. */
function performOnWorker(c: Story, run: string | undefined, what: WorkerAct): void {
  if (run === undefined) return
  const { workers } = c.status(run)
  const worker = workers[what.which % workers.length]!
  const name = `${worker.role}/${worker.index}`
  if (what.do === 'stop-one') return void c.ask('stop', { run, role: worker.role, index: worker.index })
  const holder = [...c.agents.values()].find(({ forks }) => forks.has(worker.forkId))
  const fork = holder?.forks.get(worker.forkId)
  if (holder === undefined || fork === undefined) return
  if (what.do === 'stale')
    return void c.step({
      kind: 'report',
      node: holder.node,
      incarnation: holder.incarnation,
      rev: 0,
      report: {
        ...fork.report,
        attempt: what.attempt,
        forkId: `${run}.${worker.role}.${worker.index}.${what.attempt}`,
        phase: 'exited',
        exit: exitOf({ code: 9 }),
      },
    })
  if (fork.report.phase !== 'running' || holder.node !== worker.node) return
  if (what.do === 'ready') return c.ready(run, name, what.ready)
  if (what.do === 'exit') c.exit(run, name, { code: what.code }, { tree: what.tree })
}

function perform(c: Story, what: Act): void {
  const runs = (): string[] =>
    (c.ask('list', { all: true }).body.runs as { run: string }[]).map(({ run }) => run)
  const runAt = (which: number): string | undefined => runs()[which % Math.max(1, runs().length)]
  const nodeAt = (node: number): string => NODES[node % NODES.length]!
  const agent = 'node' in what ? c.agents.get(nodeAt(what.node))! : null
  switch (what.do) {
    case 'launch':
      return void c.ask('launch', {
        apiVersion: 'troupe/v1',
        name: 'job',
        ...documents[what.which % documents.length],
      })
    case 'stop':
    case 'kill':
    case 'force': {
      const run = runAt(what.which)
      return run === undefined
        ? undefined
        : void c.ask(what.do === 'kill' ? 'kill' : 'stop', {
            run,
            ...(what.do === 'force' && { force: true }),
          })
    }
    case 'exit':
    case 'ready':
    case 'stop-one':
    case 'stale':
      return performOnWorker(c, runAt(what.which), what)
    case 'advance':
      return c.advance(what.ms)
    case 'silence':
      return c.silence(agent!.node)
    case 'restart':
      return c.restart(agent!.node)
    case 'wipe':
      agent!.forks.clear()
      return c.restart(agent!.node)
    case 'let-go':
      return c.letGo(agent!.node)
    case 'evidence':
      return void c.step({
        kind: 'node-disconnected',
        node: agent!.node,
        incarnation: agent!.incarnation,
        link: 1,
      })
    case 'refuse':
      return void agent!.refuse.set(VERBS[what.verb % VERBS.length]!, [
        fault(CODES[what.code % CODES.length]!),
      ])
    case 'hold':
      return void agent!.hold.add(VERBS[what.verb % VERBS.length]!)
    case 'failover':
      return c.failover()
    case 'drain':
      return void c.ask('drain', { node: agent!.node, on: what.on })
    case 'link':
      return void c.step({ kind: 'link', up: what.up })
    default:
      return what satisfies never
  }
}

function checkLedger(state: CoordinatorState): void {
  for (const node of state.nodes.values()) {
    const cpus = [...node.workers].reduce(
      (sum, worker) => sum + resourcesOf(worker.role.spec, worker.record.index).cpus,
      0,
    )
    expect(node.used.cpus).toBe(cpus)
    for (const worker of node.workers)
      expect([worker.record.node, worker.record.phase === 'ended']).toEqual([node.name, false])
  }
  for (const run of state.runs.values())
    for (const role of run.roles)
      for (const [stage, count] of Object.entries(role.counts))
        expect(role.workers.filter((worker) => stageOf(worker) === stage).length).toBe(count)
}

test('any events in any order: no step throws, what has ended stays so, counts and usage are true, and when all is well everything can be stopped', () => {
  fc.assert(
    fc.property(fc.array(act, { minLength: 5, maxLength: 40 }), (acts) => {
      const c = coordinatorWith({ n0: { cpus: 4 }, n1: { cpus: 4 }, n2: { cpus: 2 } })
      const ended = new Map<string, { state: RunState; code: number | null }>()
      for (const what of acts) {
        perform(c, what)
        checkLedger(c.state)
        for (const { run, state, code } of c.ask('list', { all: true }).body.runs as {
          run: string
          state: RunState
          code: number | null
        }[]) {
          if (ended.has(run)) expect({ state, code }).toEqual(ended.get(run))
          else if (isTerminal(state)) ended.set(run, { state, code })
        }
      }
      c.step({ kind: 'link', up: true })
      for (const agent of c.agents.values()) {
        agent.refuse.clear()
        agent.hold.clear()
        c.restart(agent.node)
      }
      c.advance(5000)
      for (const { run } of c.ask('list', {}).body.runs as { run: string }[]) c.ask('stop', { run })
      c.advance(8000)
      for (const agent of c.agents.values())
        for (const [forkId, { report }] of agent.forks)
          if (report.phase === 'exited') c.emptied(agent.node, forkId)
      c.advance(8000)
      expect(
        (c.ask('list', {}).body.runs as { run: string; state: string; reason: string }[]).map(
          ({ state, reason }) => [state, reason],
        ),
      ).toEqual([])
      const left = [...c.agents.values()].flatMap(({ forks }) =>
        [...forks.values()].map(({ report }) => `${report.forkId} ${report.phase}`),
      )
      expect(left).toEqual([])
    }),
    { numRuns: 150 },
  )
}, 60_000)
