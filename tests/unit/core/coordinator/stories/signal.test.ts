/** A signal by the command line, of whom it cannot be sent to: said, and never "nothing runs". */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { torchrun } from '../../../../support/coordinator/roles.ts'

const roles = { trainer: torchrun('2x1', { failFast: false }) }

function twoNodes() {
  const c = coordinatorWith({ n0: {}, n1: {} })
  const run = c.launch({ roles })
  const nodeOf = (worker: string) => c.worker(run, worker).node!
  const silence = (worker: string): void => {
    c.silence(nodeOf(worker))
    c.advance(120_000)
  }
  const send = () => c.ask('signal', { run, signal: 'SIGUSR1' })
  return { c, run, nodeOf, silence, send }
}

test('one of two nodes is silent: its worker is refused by name, the other one gets it', () => {
  const { run, nodeOf, silence, send } = twoNodes()
  silence('trainer/1')
  const refused = { worker: `${run}/trainer/1`, reason: `node ${nodeOf('trainer/1')} cannot be asked now` }
  expect(send().body).toEqual({ workers: [`${run}/trainer/0`], refused: [refused] })
})

test('all nodes are silent: that is the fault', () => {
  const { run, nodeOf, silence, send } = twoNodes()
  silence('trainer/0')
  silence('trainer/1')
  const message = `${run}/trainer/0: node ${nodeOf('trainer/0')} cannot be asked now`
  expect(send().fault).toMatchObject({ code: 'FAILED', message })
})

test('a root has ended, and what it left still runs: that is said, where nobody else gets it', () => {
  const { c, run, send } = twoNodes()
  for (const agent of c.agents.values()) agent.hold.add('kill')
  c.exit(run, 'trainer/1', { code: 0 }, { tree: true })
  expect(send().body).toEqual({ workers: [`${run}/trainer/0`] })
  c.exit(run, 'trainer/0', { code: 0 }, { tree: true })
  expect(send().fault).toMatchObject({
    code: 'FAILED',
    message: expect.stringMatching(/^the root of \S+ has ended; what it left running is being ended$/),
  })
})
