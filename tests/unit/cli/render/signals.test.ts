import { expect, test } from 'vitest'
import { eventText } from '../../../../src/cli/commands/events.ts'
import { statusText } from '../../../../src/cli/render/status.ts'
import type { WorkerEvent } from '../../../../src/client/events.ts'
import type { RunStatus } from '../../../../src/protocol/shapes.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

const SIGNALS = [{ signal: 'SIGUSR1', by: 'ada', to: 'root' as const }]

test('an event of a signal says which it was, for whom, and whose', () => {
  const event = {
    at: 0,
    run: 'r-1',
    role: 'job',
    index: 0,
    what: 'signalled',
    phase: 'running',
    exit: null,
    receipt: null,
    ranks: [],
    signals: [{ signal: 'SIGHUP', by: 'eve', to: 2 }, ...SIGNALS],
  } as unknown as WorkerEvent
  expect(eventText(event)).toMatch(/ {2}r-1\/job\/0 {2}signalled {2}SIGUSR1 to its root, sent by ada$/)
})

test('a status has a line for each signal that persons sent', () => {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({ roles: { job: task() } })
  expect(statusText(c.status(run) as RunStatus)).not.toContain('SIGNAL')
  c.report(run, 'job/0', { signals: [...SIGNALS, ...SIGNALS] })
  expect(statusText(c.status(run) as RunStatus)).toContain(
    'job/0   SIGUSR1 to its root, sent by ada, 2 times\n',
  )
})
