import { expect, test } from 'vitest'
import { place, roomFor, type Ask } from '../../../../src/core/coordinator/placement.ts'
import { newPlaces, type Place, type Places } from '../../../../src/core/coordinator/places.ts'
import { resolveLaunch } from '../../../../src/protocol/launch/document.ts'
import { resourcesOf, type Role } from '../../../../src/protocol/launch/resolved.ts'
import { task, torchrun } from '../../../support/coordinator/roles.ts'

const GIB = 1024 ** 3
type Node = Partial<Omit<Place, 'used'>> & { used?: Partial<Place['used']> }

function spot(name: string, { used = {}, ...more }: Node = {}): Place {
  const none = { cpus: 0, gpus: 0, memoryBytes: 0 }
  const size = { cpus: 8, gpus: 0, memoryBytes: 16 * GIB }
  const where = { host: `${name}.lan`, address: '10.0.0.1', interfaces: {} }
  return {
    name,
    ...where,
    ...size,
    workers: 0,
    open: true,
    avoid: false,
    ...more,
    used: { ...none, ...used },
  }
}

function spots(nodes: Record<string, Node>): Places {
  return newPlaces(Object.entries(nodes).map(([name, node]) => spot(name, node)))
}

function asksFor(document: Record<string, unknown>): { role: Role; asks: Ask[] } {
  const role = resolveLaunch({ apiVersion: 'troupe/v1', name: 'job', roles: { job: document } }).roles[0]!
  return { role, asks: Array.from({ length: role.replicas }, (_, index) => ({ role, index })) }
}

function gpu(gpus: number, more = {}): Record<string, unknown> {
  return task({ resources: { gpus }, ...more })
}
const busy = { gpus: 8, used: { gpus: 6 } }

test.each<[string, Record<string, Node>, Record<string, unknown>, string[]]>([
  ['the least loaded by its size', { a: { workers: 1 }, b: { workers: 2, cpus: 32 } }, task(), ['b']],
  ['of equal ones the first by name', { b: {}, a: {} }, task(), ['a']],
  ['one after the other, spread', { a: {}, b: {} }, task({ replicas: 3 }), ['a', 'b', 'a']],
  ['one to avoid comes last', { a: { avoid: true }, b: { workers: 7 } }, task(), ['b']],
  ['one that is closed is passed over', { a: { open: false }, b: { workers: 7 } }, task(), ['b']],
  ['what is used is not free', { a: busy, b: { gpus: 8, workers: 7 } }, gpu(4), ['b']],
  ['a named node, though others are better', { a: {}, b: { workers: 7 } }, task({ nodelist: ['b'] }), ['b']],
  ['an excluded node is passed over', { a: {}, b: { workers: 7 } }, task({ exclude: ['a'] }), ['b']],
  [
    'a host that is named, with or without its domain, is all its nodes',
    { a1: { host: 'A.lan' }, a2: { host: 'A.lan' }, b: {} },
    torchrun('2x1', { nodelist: ['a'] }),
    ['a1', 'a2'],
  ],
  [
    'a name and its host mean one node once',
    { a: {}, b: { host: 'b', workers: 7 } },
    torchrun('2x1', { nodelist: ['a', 'a.lan', 'B.far.lan'] }),
    ['a', 'b'],
  ],
  ['a host of another domain is another', { a: {}, b: {} }, task({ exclude: ['a.far'] }), ['a']],
  [
    'a host that is excluded',
    { a1: { host: 'a.lan' }, a2: { host: 'a.lan' }, b: { workers: 7 } },
    task({ exclude: ['a'] }),
    ['b'],
  ],
  [
    'an address in the block that is asked for',
    {
      a: { interfaces: { eth0: ['10.1.0.1'] } },
      b: { workers: 7, interfaces: { eth0: ['10.1.0.2'], ib0: ['10.2.0.2'] } },
    },
    task({ network: { cidr: '10.2.0.0/16' } }),
    ['b'],
  ],
  ['torchrun on nodes of its own', { a: {}, b: { workers: 7 } }, torchrun('2x1'), ['a', 'b']],
  [
    'GPUs that two nodes give out are given once',
    { a: shared('b'), b: shared('a'), c: { gpus: 2, workers: 7 } },
    gpu(2, { replicas: 2 }),
    ['a', 'c'],
  ],
])('%s', (_, nodes, role, expected) => {
  expect(place(asksFor(role).asks, spots(nodes))).toEqual({ places: expected, left: [] })
})

function shared(peer: string): Node {
  return { gpus: 2, gpuPeers: new Map([[peer, 2]]) }
}

test.each<[string, Record<string, Node>, Record<string, unknown>, { holds: boolean; reason: string }]>([
  ['none has joined', {}, task(), { holds: false, reason: 'none has joined' }],
  ['it would fit if other work ended', { a: busy }, gpu(4), { holds: true, reason: 'a has 2 GPUs' }],
  [
    'it would not fit on empty nodes either',
    { a: busy },
    gpu(4, { replicas: 3 }),
    { holds: false, reason: 'not enough even when all nodes are empty' },
  ],
  [
    'a named node has not joined',
    { a: {} },
    task({ nodelist: ['b'] }),
    { holds: false, reason: 'b has not joined' },
  ],
  [
    'too few nodes for torchrun',
    { a: {} },
    torchrun('2x1'),
    { holds: false, reason: 'needs 2 nodes, 1 is there' },
  ],
  [
    'no node has the interface',
    { a: { interfaces: { lo: ['127.0.0.1'] } } },
    task({ network: { interface: 'ib0' } }),
    {
      holds: false,
      reason: 'role job asks for an address on interface ib0: a (host a.lan) has lo (127.0.0.1)',
    },
  ],
  [
    'what is not counted is named',
    { a: busy, b: { gpus: 8, open: false } },
    gpu(4),
    { holds: true, reason: 'not counted, draining or silent: b' },
  ],
])('%s: it waits, and says so', (_, nodes, role, expected) => {
  expect(place(asksFor(role).asks, spots(nodes))).toMatchObject({
    holds: expected.holds,
    reason: expect.stringContaining(expected.reason),
  })
})

test('some of its workers have room: what is missing is the others', () => {
  const answer = place(asksFor(gpu(4, { replicas: 5 })).asks, spots({ a: { gpus: 8 }, b: busy }))
  expect(answer).toMatchObject({ stuck: { missing: 3 } })
})

test('an elastic role finds fewer nodes than it would like: its last workers are left out', () => {
  const { asks } = asksFor(torchrun('2:3x1'))
  expect(place(asks, spots({ a: {}, b: {} }))).toEqual({ places: ['a', 'b'], left: [asks[2]] })
})

test('its other workers have a node already: another one is taken', () => {
  const answer = place(
    asksFor(torchrun('1x1')).asks,
    spots({ a: {}, b: {} }),
    new Map([['job', new Set(['a'])]]),
  )
  expect(answer).toEqual({ places: ['b'], left: [] })
})

test('nothing is changed by asking: the same question has the same answer', () => {
  const places = spots({ a: {}, b: {}, c: { gpus: 4 } })
  const ask = (): unknown => place(asksFor(gpu(1, { replicas: 5 })).asks, places)
  expect(ask()).toEqual(ask())
  expect([places.loaded.size, places.empty.size]).toEqual([3, 3])
})

test.each([
  [gpu(2), { gpus: 8, used: { gpus: 3 } }, 2],
  [gpu(2), { gpus: 8, open: false }, 0],
  [gpu(2, { exclude: ['a'] }), { gpus: 8 }, 0],
  [torchrun('2x1'), {}, 1],
  [task({ resources: { cpus: 0 } }), {}, 1],
])('room for %j on %j: %i', (document, node, room) => {
  const { role } = asksFor(document)
  expect(roomFor({ role, resources: resourcesOf(role, 0) }, spot('a', node))).toBe(room)
})

test.each([1000, 2000])(
  'one worker, and one for a named node, among %i nodes: one place is looked at each',
  (n) => {
    const places = newPlaces(Array.from({ length: n }, (_, i) => spot(`n${i}`)))
    place(asksFor(task()).asks, places)
    place(asksFor(task({ nodelist: ['n7'] })).asks, places)
    expect(places.looked).toBe(2)
  },
)

test.each([1000, 2000])('%i workers on as many nodes: a place is looked at for each', (n) => {
  const places = newPlaces(Array.from({ length: n }, (_, i) => spot(`n${i}`)))
  place(asksFor(task({ replicas: n })).asks, places)
  expect(places.looked).toBe(n)
})
