/** GPUs that a node lost, and those that no worker sees: said where one looks for it. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { task } from '../../../../support/coordinator/roles.ts'

function document(role: Record<string, unknown>): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name: 'job', roles: { job: role } }
}

test('a node whose nvidia-smi failed says why; so does the refusal of a launch that it is too small for', () => {
  const c = coordinatorWith({ n0: { gpus: 3, gpuTrouble: 'GPU is lost' }, n1: { gpus: 1 } })
  expect(c.ask('nodes', {}).body.nodes).toMatchObject([{ gpus: 3, reason: 'GPU is lost' }, { reason: null }])
  const refused = c.ask('launch', document(task({ resources: { gpus: 4 } }))).fault
  expect(refused).toMatchObject({
    code: 'PLAN_INVALID',
    message: expect.stringContaining('(n0: GPU is lost)'),
  })
  expect(c.ask('launch', document(task({ resources: { cpus: 99 } }))).fault!.message).not.toContain('lost')
})

test.each([
  [
    'a worker without gpus on a node that has some',
    task(),
    8,
    'job/0 has 0 of 8 GPUs of n0 visible: add --gpus N',
  ],
  ['a worker that reserved some', task({ resources: { gpus: 1 } }), 8, null],
  ['a launch that says itself which it sees', task({ env: { CUDA_VISIBLE_DEVICES: '0' } }), 8, null],
  ['a node without GPUs', task(), 0, null],
])('%s: the note of its status', (_, role, gpus, note) => {
  const c = coordinatorWith({ n0: { gpus } })
  const { run } = c.ask('launch', document(role)).body
  if (note === null) expect(c.status(run)).not.toHaveProperty('note')
  else expect(c.status(run).note).toContain(note)
  const lines = c.ask('explain', { run }).body.lines.map(({ text }: { text: string }) => text)
  expect(lines.some((text: string) => text.includes('GPUs of n0 visible'))).toBe(note !== null)
})
