import { expect, test, vi } from 'vitest'
import { emptyDurable } from '../../../../src/core/coordinator/fold.ts'
import { gpusTaken, linkGpus } from '../../../../src/core/coordinator/node-usage.ts'
import { COORDINATOR_DEFAULTS } from '../../../../src/core/coordinator/settings.ts'
import { contextOf, newState } from '../../../../src/core/coordinator/new-state.ts'
import { nodeOf } from '../../../../src/core/coordinator/nodes.ts'
import type { Ctx, NodeLive } from '../../../../src/core/coordinator/types.ts'
import type { Gpu } from '../../../../src/protocol/shapes.ts'

function context(): Ctx {
  const s = newState({
    settings: COORDINATOR_DEFAULTS,
    incarnation: 'I',
    storeId: 'S',
    durable: emptyDurable(),
  })
  return contextOf(s, { now: 0, wall: 0 })
}

function gpus(...uuids: string[]): Gpu[] {
  return uuids.map((uuid, i) => ({ id: `GPU-${i}`, name: 'fake', memoryBytes: null, uuid }))
}

function peersOf(node: NodeLive): Record<string, number> {
  return Object.fromEntries([...node.gpuPeers].map(([peer, common]) => [peer.name, common]))
}

test('two nodes name the same devices: each is the peer of the other, with the number in common', () => {
  const ctx = context()
  const [a, b, c] = ['a', 'b', 'c'].map((name) => nodeOf(ctx, name))
  linkGpus(ctx, a!, gpus('x', 'y'))
  linkGpus(ctx, b!, gpus('x', 'y', 'z'))
  linkGpus(ctx, c!, gpus('w'))
  expect([a!, b!, c!].map(peersOf)).toEqual([{ b: 2 }, { a: 2 }, {}])
})

test('what a peer has taken of the devices in common is taken here, too, and not more than these', () => {
  const ctx = context()
  const [a, b] = ['a', 'b'].map((name) => nodeOf(ctx, name))
  linkGpus(ctx, a!, gpus('x', 'y'))
  linkGpus(ctx, b!, gpus('x', 'z', 'w'))
  b!.used.gpus = 3
  expect([gpusTaken(a!), gpusTaken(b!)]).toEqual([1, 3])
})

test('a node names other devices, or is gone: nobody is its peer any more, and no owner is left behind', () => {
  const ctx = context()
  const [a, b] = ['a', 'b'].map((name) => nodeOf(ctx, name))
  linkGpus(ctx, a!, gpus('x'))
  linkGpus(ctx, b!, gpus('x'))
  linkGpus(ctx, b!, gpus('y'))
  expect([peersOf(a!), peersOf(b!)]).toEqual([{}, {}])
  linkGpus(ctx, b!, gpus('x'))
  expect(peersOf(a!)).toEqual({ b: 1 })
  linkGpus(ctx, a!, null)
  linkGpus(ctx, b!, null)
  expect([peersOf(a!), peersOf(b!), ctx.s.gpuOwners.size]).toEqual([{}, {}, 0])
})

test('a node of thousands tells its devices: only those who own the same are looked at', () => {
  const ctx = context()
  for (let i = 0; i < 2000; i++) linkGpus(ctx, nodeOf(ctx, `n${i}`), gpus(`${i}-0`, `${i}-1`))
  const passed = vi.spyOn(ctx.s.nodes, 'values')
  const asked = vi.spyOn(ctx.s.gpuOwners, 'get')
  linkGpus(ctx, nodeOf(ctx, 'other'), gpus('1-0', 'new'))
  expect([passed.mock.calls.length, asked.mock.calls.length]).toEqual([0, 2])
  // the same devices again
  linkGpus(ctx, nodeOf(ctx, 'other'), gpus('1-0', 'new'))
  expect([asked.mock.calls.length, peersOf(nodeOf(ctx, 'other'))]).toEqual([2, { n1: 1 }])
})
