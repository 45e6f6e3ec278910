import { expect, test } from 'vitest'
import { statusText } from '../../../../src/cli/render/status.ts'
import type { RunStatus } from '../../../../src/protocol/shapes.ts'
import { coordinatorWith } from '../../../support/coordinator-steps.ts'
import { task } from '../../../support/coordinator/roles.ts'

test.each([
  [2, /^note {5}\S+job\/0 has 0 of 2 GPUs of n0 visible: add --gpus N/m],
  [0, null],
])('a status for people, on a node with %i GPUs: %s', (gpus, line) => {
  const c = coordinatorWith({ n0: { gpus } })
  const { run } = c.ask('launch', { apiVersion: 'troupe/v1', name: 'job', roles: { job: task() } }).body
  const text = statusText(c.status(run) as RunStatus)
  if (line === null) expect(text).not.toContain('note ')
  else expect(text).toMatch(line)
})
