/** What a root left running is in the receipt where it ended by itself, and not where its end was ordered. */
import { expect, test } from 'vitest'
import { agentScript, FORK, only, recoveredFork } from '../../../support/agent-steps.ts'

const LEFT = { processes: [{ pid: 9, command: 'python3 up.py', signal: 'SIGTERM' }], more: 2 }
const receipt = { outcome: 'gone' as const, survivors: [], reason: null, left: LEFT }
type Agent = ReturnType<typeof agentScript>

function gone(agent: Agent) {
  const told = agent.step({ type: 'host', at: agent.at, event: { what: 'empty', forkId: FORK, receipt } })
  return only(told, 'fact').find(({ what }) => what === 'gone')!.report.receipt!.left
}
function running(): Agent {
  const agent = agentScript()
  agent.running()
  return agent
}

test('its root ended by itself: told, also when a stop comes before or while the rest is being ended', () => {
  const agent = running()
  agent.exited(FORK, { code: 0 })
  expect(gone(agent)).toEqual(LEFT)
  const done = running()
  done.exited(FORK, { code: 0 })
  done.kill(FORK, { killedBy: { by: 'done' } })
  expect(gone(done)).toEqual(LEFT)
  const stopped = running()
  stopped.exited(FORK, { code: 0 })
  stopped.step({ type: 'timer', timer: { kind: 'residue', forkId: FORK }, at: 1020 })
  stopped.kill(FORK)
  expect(gone(stopped)).toEqual(LEFT)
})

test('its end was ordered: that was for all of its tree', () => {
  const agent = running()
  agent.kill(FORK)
  agent.exited(FORK, { code: 0 })
  expect(gone(agent)).toBeUndefined()
})

const exit = { code: 0, signal: null, oom: false, unknown: null, exitedAt: 3 }
const stop = { killedBy: { by: 'user', name: 'me' }, signal: 'SIGTERM', graceMs: 1000, sent: 1 }
test.each([
  ['by itself', {}, LEFT],
  ['by an order', { stop }, undefined],
])('it ended %s while no agent was there', (_, notes, left) => {
  const recovered = recoveredFork({ phase: 'gone', exit, receipt: { ...receipt, ms: 1 }, notes })
  const { first } = agentScript({ recovered: [recovered] })
  expect(only(first, 'fact').find(({ what }) => what === 'gone')!.report.receipt!.left).toEqual(left)
})
