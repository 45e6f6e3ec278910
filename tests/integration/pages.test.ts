/**
 * Everything that is read in pages, asked by a client of a few lines that speaks JSON, on a real server:
 * sizes and cursors that are none are refused with their text, and 10,000 workers come with their ranks.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { archiveOn } from '../../src/actors/coordinator/archive.ts'
import { decode, encode } from '../../src/protocol/codec.ts'
import { orderHeaders } from '../../src/protocol/order-headers.ts'
import { PAGE_BYTES_MAX } from '../../src/protocol/pages.ts'
import type { RankReport, RunStatus } from '../../src/protocol/shapes.ts'
import { subjectOf } from '../../src/protocol/subjects.ts'
import { HEADERS, type BodyOf } from '../../src/protocol/table.ts'
import type { Bus, Headers } from '../../src/transport/bus.ts'
import { messengerOn } from '../../src/transport/messenger.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { exited, runStatus, worker } from '../support/fake-fleet.ts'
import { startFleet, task, type Fleet } from '../support/fleet.ts'

const WORKERS = 10_000
const RANKS = 8
const ENDED = 'ended-0123456789ab'

let fleet: Fleet
let people: Bus
let coordinator: Bus
let live: string
/** of the agent, as its beats tell it */
let beat: BodyOf<'beat'>

beforeAll(async () => {
  fleet = await startFleet()
  const { info } = fleet
  const connect = async (file: string): Promise<Bus> =>
    connectNats({ servers: info.url, credentials: JSON.parse(await readFile(file, 'utf8')), name: 'test' })
  people = await connect(info.credentials.client)
  coordinator = await connect(join(fleet.home, 'keys', info.fleet, 'coordinator.json'))
  const messenger = messengerOn(coordinator, info.fleet)
  beat = await new Promise((resolve) => {
    const beats = messenger.listen('beat', { node: 'n0' }, ({ body }) => {
      if (body.epoch === null) return
      beats.unsubscribe()
      resolve(body)
    })
  })
  await archiveOn({ bus: coordinator, messenger, fleet: info.fleet, log: () => undefined }).put(manyRanks())
  const launched = await fleet.troupe(['launch', '-q', '-f', '-'], { input: task('live', ['sleep', '600']) })
  live = launched.stdout.trim()
  expect(await fleet.troupe(['wait', live, '--for', 'running'])).toMatchObject({ code: 0 })
})
afterAll(async () => {
  await people?.close()
  await coordinator?.close()
  await fleet?.end()
})

/** A run that ended, as the coordinator archives it. */
function manyRanks(): RunStatus {
  const { exit } = exited(1)
  const rank = (index: number, localRank: number): RankReport => ({
    rank: index * RANKS + localRank,
    localRank,
    restart: 0,
    pid: 123_456,
    state: 'exited',
    exit: exit!,
    startedAt: 1_700_000_000_000,
    exitedAt: 1_700_000_001_000,
  })
  const workers = Array.from({ length: WORKERS }, (_, index) => {
    const ranks = Array.from({ length: RANKS }, (_, localRank) => rank(index, localRank))
    return worker('main', index, { ...exited(1), ranks }, ENDED)
  })
  return runStatus({ run: ENDED, state: 'failed', code: 1, endedAt: 1, workers })
}

interface Answer {
  bytes: number
  fault: boolean
  body: Record<string, unknown>
}
async function ask(bus: Bus, subject: string, body: object, headers: Headers = {}): Promise<Answer> {
  const answer = await bus.request(subject, encode(body, 'json'), { headers, timeoutMs: 10_000 })
  return {
    bytes: answer.body.length,
    fault: answer.headers[HEADERS.error] !== undefined,
    body: decode(answer.body, answer.headers[HEADERS.contentType]) as Record<string, unknown>,
  }
}
function byPeople(verb: 'status' | 'list' | 'nodes' | 'plan', body: object): Promise<Answer> {
  const { user, fleet: name } = fleet.info
  return ask(people, subjectOf(name, `coordinator.${verb}`, { user }), body)
}
function inventory(body: object): Promise<Answer> {
  const { incarnation, epoch } = beat
  return ask(
    coordinator,
    subjectOf(fleet.info.fleet, 'node.inventory', { node: 'n0', incarnation }),
    body,
    orderHeaders({ epoch: epoch!, notAfter: 0 }),
  )
}

const document = JSON.parse(task('planned', ['true'], { replicas: 3 })) as object

describe.each<[string, (body: object) => Promise<Answer>, foreign: string]>([
  ['the status of a live run', (body) => byPeople('status', { run: live, ...body }), `${ENDED}/main/0`],
  ['the status of an archived run', (body) => byPeople('status', { run: ENDED, ...body }), 'live/main/0'],
  ['the list', (body) => byPeople('list', body), 'ended/7'],
  ['the list with archived runs', (body) => byPeople('list', { all: true, ...body }), 'ended/x'],
  ['the nodes', (body) => byPeople('nodes', body), 'a b'],
  ['a plan', (body) => byPeople('plan', { document, ...body }), 'main/3'],
  ['an inventory', inventory, 'no fork'],
])('%s', (_, asked, foreign) => {
  test('a count of 0 is refused with its text', async () => {
    const { fault, body } = await asked({ count: 0 })
    expect({ fault, ...body }).toMatchObject({
      fault: true,
      code: 'REQUEST_INVALID',
      message: expect.stringContaining('0 is no size of a page: at least 1'),
    })
  })
  test('a count of 10^9 is a page that fits', async () => {
    const { fault, body, bytes } = await asked({ count: 1e9 })
    expect({ fault, ...body }).toMatchObject({
      fault: false,
      next: expect.toSatisfy((next) => next !== undefined),
    })
    expect(bytes).toBeLessThan(PAGE_BYTES_MAX + 10_000)
  })
  test('a cursor of another list is refused with its text', async () => {
    const { fault, body } = await asked({ from: foreign })
    expect({ fault, ...body }).toMatchObject({
      fault: true,
      code: 'REQUEST_INVALID',
      message: expect.stringContaining(JSON.stringify(foreign)),
    })
  })
})

test('10,000 workers with eight ranks each: every worker and rank once, in answers that fit', async () => {
  const workers = new Set<string>()
  const ranks = new Set<number>()
  for (let from: string | null | undefined; from !== null;) {
    const { body, bytes } = await byPeople('status', { run: ENDED, ...(from !== undefined && { from }) })
    expect(bytes).toBeLessThan(PAGE_BYTES_MAX + 10_000)
    for (const one of (body as RunStatus).workers) {
      workers.add(one.worker)
      for (const { rank } of one.ranks) ranks.add(rank)
    }
    from = body['next'] as string | null
  }
  expect([workers.size, ranks.size]).toEqual([WORKERS, WORKERS * RANKS])
})
