import { expect, test } from 'vitest'
import { task, torchrun } from '../../../../support/coordinator/roles.ts'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'

function eth(address: string) {
  return { interfaces: { eth0: [address] } }
}

test('a host that is named is all its nodes, and one that has not joined is waited for [A-40]', () => {
  const c = coordinatorWith({ g0: { host: 'gpu1.lan' }, g1: { host: 'gpu1.lan' }, other: {} })
  const gang = c.launch({ roles: { t: torchrun('2x1', { nodelist: ['gpu1'] }) } })
  expect(new Set(c.status(gang).workers.map(({ node }) => node))).toEqual(new Set(['g0', 'g1']))
  const late = c.launch({ name: 'late', roles: { job: task({ nodelist: ['gpu2.lan'] }) } })
  expect(c.status(late)).toMatchObject({
    state: 'pending',
    reason: 'waiting for nodes: role job wants gpu2.lan, and gpu2.lan has not joined',
    help: {
      text: 'no node of host gpu2.lan has joined: start an agent there',
      next: 'troupe agent --node NAME',
    },
  })
  c.addNode('g2', { host: 'gpu2' })
  expect(c.worker(late, 'job/0')).toMatchObject({ node: 'g2', state: 'running' })
})

test('no known node has the network that a role asks for: refused, with the nodes and their interfaces [A-40]', () => {
  const c = coordinatorWith({ n0: { host: 'a', ...eth('10.1.0.1') }, n1: { host: 'b', ...eth('10.1.0.2') } })
  const roles = { job: task({ network: { cidr: '10.2.0.0/16' } }) }
  const asked = { apiVersion: 'troupe/v1', name: 'job', roles }
  expect(c.ask('launch', asked).fault).toMatchObject({
    code: 'PLAN_INVALID',
    message:
      'role job asks for an address in 10.2.0.0/16: n0 (host a) has eth0 (10.1.0.1); n1 (host b) has eth0 (10.1.0.2)',
  })
})

test('a node gets the address that a run waits for: it is told with the inventory, and the run goes there [A-40]', () => {
  const c = coordinatorWith({ n0: { host: 'a', ...eth('10.1.0.1') } })
  const network = { cidr: '10.2.0.0/16' }
  const run = c.launch({ roles: { job: task({ network, nodelist: ['n0', 'n9'] }) } })
  expect(c.status(run)).toMatchObject({
    state: 'pending',
    reason: 'waiting for nodes: role job asks for an address in 10.2.0.0/16: n0 (host a) has eth0 (10.1.0.1)',
  })
  const agent = c.agents.get('n0')!
  agent.capacity = { ...agent.capacity, host: '10.2.0.1', interfaces: { ib0: ['10.2.0.1'] } }
  agent.rev++
  c.advance(2000)
  expect(c.worker(run, 'job/0')).toMatchObject({ node: 'n0', state: 'running' })
  expect(c.ask('nodes', {}).body.nodes).toMatchObject([{ node: 'n0', address: '10.2.0.1' }])
})

test('an address that is loopback among other machines is said of the node, and of a worker that has peers elsewhere [A-40]', () => {
  const c = coordinatorWith({ far: { address: '127.0.0.1' }, near: { address: '10.1.0.2' } })
  const text = expect.stringContaining('its address for peers is 127.0.0.1')
  expect(c.ask('nodes', {}).body.nodes).toMatchObject([
    { node: 'far', reason: text },
    { node: 'near', reason: null },
  ])
  const gang = c.launch({ roles: { t: torchrun('2x1') } })
  const [reason] = c
    .status(gang)
    .workers.filter(({ node }) => node === 'far')
    .map((one) => one.reason)
  expect(reason).toEqual(text)
  const alone = c.launch({ name: 'alone', roles: { job: task({ nodelist: ['far'] }) } })
  expect(c.worker(alone, 'job/0').reason).toBe(null)
})

test('on one machine all addresses are loopback, and nobody is cut off', () => {
  const home = { host: 'laptop', address: '127.0.0.1' }
  const c = coordinatorWith({ n0: home, n1: home })
  expect(c.ask('nodes', {}).body.nodes.map(({ reason }: { reason: string | null }) => reason)).toEqual([
    null,
    null,
  ])
})
