import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { service, task } from '../../../../support/coordinator/roles.ts'

test('explain names the clock that ticks, the cause and what to look at next [A-42 FC-16]', () => {
  const c = coordinatorWith({ n0: {} })
  const pending = c.launch({ roles: { job: task({ nodelist: ['n5'] }) } })
  expect(c.ask('explain', { run: pending }).body.lines[0]).toMatchObject({
    subject: pending,
    text: expect.stringMatching(/pending: .*n5 has not joined; the queue clock ticks/),
    next: 'troupe agent --node n5',
  })
  const run = c.launch({ roles: { api: { kind: 'service', command: ['x'], ready: { exec: ['true'] } } } })
  c.ready(run, 'api/0', false)
  expect(c.ask('explain', { run, role: 'api' }).body.lines).toContainEqual({
    subject: `${run}/api/0`,
    text: 'HTTP 503',
    next: `troupe logs ${run}/api/0`,
  })
  c.ready(run, 'api/0')
  expect(c.worker(run, 'api/0').ready).toBe(true)
})

test('a node that is drained is named where a run waits for room, and each waiting worker has a next check; once it is over nothing waits [A-43 U-11]', () => {
  const c = coordinatorWith({ n0: { cpus: 2 }, n1: { cpus: 2 } })
  c.ask('drain', { node: 'n0', on: true })
  const run = c.launch({
    roles: {
      api: service({ resources: { cpus: 2 }, replicas: 2 }),
      job: task({ dependsOn: { api: 'ready' } }),
    },
  })
  expect(c.status(run)).toMatchObject({
    state: 'pending',
    reason: expect.stringMatching(/\(not counted, draining or silent: n0\)$/),
  })
  const lines = c.ask('explain', { run }).body.lines as { subject: string; next: string | null }[]
  expect(lines.map(({ subject, next }) => [subject, next])).toEqual([
    [run, 'troupe nodes drain n0 --off'],
    [`${run}/api/0`, 'troupe nodes drain n0 --off'],
    [`${run}/api/1`, 'troupe nodes drain n0 --off'],
    [`${run}/job/0`, `troupe explain ${run}/api`],
  ])
  c.ask('stop', { run })
  expect(c.status(run)).toMatchObject({
    state: 'cancelled',
    workers: [
      { reason: 'it was never started' },
      { reason: 'it was never started' },
      { reason: 'it was never started' },
    ],
  })
})

test('signals of persons stand behind their worker, while it runs and when it has ended', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({ roles: { job: task() } })
  const signals = [{ signal: 'SIGUSR1', by: 'ada', to: 'root' as const }]
  c.report(run, 'job/0', { signals })
  const sent = { subject: `${run}/job/0`, text: 'got SIGUSR1 to its root, sent by ada', next: null }
  expect(c.ask('explain', { run }).body.lines).toContainEqual(sent)
  c.exit(run, 'job/0', { code: 0 })
  expect(c.ask('explain', { run }).body.lines).toContainEqual(sent)
  expect(c.worker(run, 'job/0').signals).toEqual(signals)
})
