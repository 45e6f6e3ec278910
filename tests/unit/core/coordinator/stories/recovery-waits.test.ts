import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { service, task, torchrun } from '../../../../support/coordinator/roles.ts'

test('a failover does not give a dependency more time than its timeout: the wait goes on from where it was [FC-4]', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({
    roles: {
      api: service({ ready: { exec: ['true'], timeout: '1h' } }),
      job: task({ dependsOn: { api: { condition: 'ready', timeout: '60s' } } }),
    },
  })
  for (let i = 0; i < 3; i++) {
    c.advance(18_000)
    c.failover()
  }
  expect(c.status(run).state).toBe('starting')
  c.advance(7_000)
  expect(c.status(run)).toMatchObject({
    state: 'timed-out',
    code: 124,
    reason: expect.stringContaining('waited 60 s for api to be ready'),
  })
})

test('a timeout passes while nobody leads, and what was waited for came in time: the node is heard before anybody judges', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({
    roles: {
      api: service({ ready: { exec: ['true'], timeout: '1h' } }),
      job: task({ dependsOn: { api: { condition: 'ready', timeout: '60s' } } }),
    },
    stopWhen: 'job.done',
  })
  c.advance(50_000)
  const fork = c.agents.get('n0')!.forks.get(`${run}.api.0.1`)!
  fork.report = { ...fork.report, ready: true }
  c.agents.get('n0')!.alive = false
  c.advance(1000)
  c.failoverUnheard()
  c.advance(15_000)
  expect(c.status(run).state).not.toBe('timed-out')
  c.restart('n0')
  expect(c.status(run)).toMatchObject({ state: 'running' })
})

test('a role waits for another a second time, after a restart: its patience begins anew', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({
    roles: {
      api: service({ ready: { exec: ['true'], timeout: '1h' } }),
      job: task({
        dependsOn: { api: { condition: 'ready', timeout: '60s' } },
        restart: { policy: 'on-failure', max: 3, scope: 'run', backoff: ['1s', '1s'] },
      }),
    },
  })
  c.advance(50_000)
  c.ready(run, 'api/0')
  c.exit(run, 'job/0', { code: 1 })
  c.advance(30_000)
  expect(c.status(run)).toMatchObject({ state: 'starting', attempt: 2 })
  c.advance(32_000)
  expect(c.status(run).state).toBe('timed-out')
})

test('a failover does not give the peers of a torchrun agent that exited 0 another five minutes [FC-1 FC-4]', () => {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles: { trainer: torchrun('2x1') } })
  c.exit(run, 'trainer/0', { code: 0 })
  c.advance(200_000)
  c.failover()
  c.advance(95_000)
  expect(c.status(run).state).toBe('running')
  c.advance(6_000)
  expect(c.status(run)).toMatchObject({ state: 'failed', firstFailure: { worker: `${run}/trainer/1` } })
})
