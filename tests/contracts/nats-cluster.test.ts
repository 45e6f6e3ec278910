/** The state log contract over three real nats-servers, and what a copy of a stream may answer there. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startTestCluster, type TestCluster } from '../support/test-cluster.ts'
import { until } from '../support/test-server.ts'
import { stateLogContract } from './state-log.contract.ts'

const STREAM = {
  name: 'kept',
  subjects: ['kept.>'],
  kind: 'limits',
  storage: 'file',
  maxBytes: -1,
  maxAgeMs: 0,
  duplicateWindowMs: 1000,
  allowDirect: true,
  asyncPersist: true,
} as const

let cluster: TestCluster
beforeAll(async () => {
  cluster = await startTestCluster()
  await cluster.ensure({ ...STREAM, subjects: [...STREAM.subjects] })
})
afterAll(() => cluster?.close())

stateLogContract(
  'nats, three servers',
  async () => {
    const never = (): Promise<void> => Promise.reject(new Error('not asked for'))
    return {
      connect: (name) => cluster.connect(name),
      cut: never,
      restore: never,
      close: () => Promise.resolve(),
    }
  },
  3,
)

describe('a server that was stopped for a moment', () => {
  test('answers old by its copy; the leader, asked through it, has all that was acknowledged', async () => {
    const { leader, followers } = await cluster.rolesOf('kept')
    const behind = followers[0]!
    const writer = await cluster.connect('writer', leader)
    const reader = await cluster.connect('reader', behind)
    let stale = 0
    // its copy catches up in milliseconds, so once may be too seldom
    for (let round = 0; round < 20 && stale === 0; round++) {
      behind.signal('SIGSTOP')
      const appends = Array.from({ length: 300 }, () => writer.append('kept.x', new Uint8Array(512)))
      const { seq } = (await Promise.all(appends)).at(-1)!
      const copies = Array.from({ length: 40 }, () => reader.getLast('kept', 'kept.x'))
      const led = Array.from({ length: 40 }, () => reader.getLast('kept', 'kept.x', 'leader'))
      const pages = Array.from({ length: 10 }, () =>
        reader.getMessages('kept', { seq, count: 5, from: 'leader' }),
      )
      behind.signal('SIGCONT')
      for (const last of await Promise.all(led)) expect(last?.seq).toBe(seq)
      for (const page of await Promise.all(pages)) expect(page.map((message) => message.seq)).toEqual([seq])
      stale += (await Promise.all(copies)).filter((last) => (last?.seq ?? 0) < seq).length
    }
    expect(stale).toBeGreaterThan(0)
  })
})

test('a server that does not know the secret of the others is no part of the cluster', async () => {
  const stranger = await cluster.startStranger()
  try {
    const refusals = /Authorization Violation[^]*?Router connection closed[^\n]* Remote: (\w+)/g
    await until('all of them have refused it', async () => {
      const log = await stranger.log()
      return new Set([...log.matchAll(refusals)].map(([, remote]) => remote)).size === 3
    })
    // nobody there leads what the others have
    const alone = await cluster.connect('alone', stranger)
    await expect(alone.getLast('kept', 'kept.x', 'leader')).rejects.toMatchObject({
      code: 'TIMEOUT',
    })
  } finally {
    await stranger.running.stop()
  }
})
