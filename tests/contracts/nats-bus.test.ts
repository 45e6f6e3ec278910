/**
 * The bus contract on a real nats-server, and what only a real one has: permissions, the private inbox,
 * crashes.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Bus } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { newSeed, signerOf } from '../../src/transport/nats/nkey-sign.ts'
import { startTestServer, until, type TestServer } from '../support/test-server.ts'
import { busContract } from './bus.contract.ts'

busContract('nats', async () => {
  const server = await startTestServer()
  return {
    connect: (name) => server.connect(name),
    cut: () => server.kill(),
    restore: () => server.start(),
    close: () => server.close(),
  }
})

test('a link has two ends: the address that the kernel chose here, and the one that the server listens on; none while it is down [A-40]', async () => {
  const server = await startTestServer()
  try {
    const bus = await server.connect('ends')
    expect(bus.ends()).toEqual({ local: '127.0.0.1', server: '127.0.0.1' })
    await server.kill()
    await until('the link is down', () => bus.ends() === null)
    await server.start()
    await until('it has an end again', () => bus.ends()?.local === '127.0.0.1')
  } finally {
    await server.close()
  }
})

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

describe('a connection with permissions', () => {
  let server: TestServer
  let any: Bus
  let small: Bus
  beforeAll(async () => {
    server = await startTestServer({
      small: { publish: ['may.>', '$JS.API.DIRECT.GET.kept.>'], subscribe: ['may.>'] },
    })
    any = await server.connect('any')
    small = await server.connect('small', 'small')
    await any.ensureStream({
      name: 'kept',
      subjects: ['kept.>'],
      kind: 'limits',
      storage: 'file',
      maxBytes: -1,
      maxAgeMs: 0,
      duplicateWindowMs: 1000,
      allowDirect: true,
      asyncPersist: false,
    })
    any.subscribe('may.ask', (m) => m.respond(bytes('yes')))
    any.subscribe('never.ask', (m) => m.respond(bytes('yes')))
    await any.flush()
  })
  afterAll(() => server.close())

  test('a request or append on a subject that it may not use is refused with PERMISSION at once, and the allowed ones beside it are answered', async () => {
    const asked = performance.now()
    const [allowed, ask, append] = await Promise.allSettled([
      small.request('may.ask', bytes(''), { timeoutMs: 10_000 }),
      small.request('never.ask', bytes(''), { timeoutMs: 10_000 }),
      small.append('kept.x', bytes(''), { timeoutMs: 10_000 }),
    ])
    expect(allowed.status).toBe('fulfilled')
    expect(ask).toMatchObject({
      status: 'rejected',
      reason: { code: 'PERMISSION', data: { operation: 'publish', subject: 'never.ask' } },
    })
    expect(append).toMatchObject({ status: 'rejected', reason: { code: 'PERMISSION' } })
    expect(performance.now() - asked).toBeLessThan(2000)
  })

  test('making a consumer, a stream or purging is refused while Direct Get is allowed', async () => {
    await any.append('kept.y', bytes('1'))
    expect((await small.getLast('kept', 'kept.y'))?.seq).toBe(1)
    await expect(small.getMessage('kept', { seq: 1 })).rejects.toMatchObject({ code: 'PERMISSION' })
    await expect(small.purge('kept', { beforeSeq: 100 })).rejects.toMatchObject({ code: 'PERMISSION' })
    await expect(small.consumeQueue('kept', 'mine', 1000, async () => undefined)).rejects.toMatchObject({
      code: 'PERMISSION',
    })
    expect((await any.getLast('kept', 'kept.y'))?.seq).toBe(1)
  })

  test('a refused subscription or publication is told to the listener', async () => {
    const seen: string[] = []
    small.onPermissionViolation(({ operation, subject }) => seen.push(`${operation} ${subject}`))
    small.subscribe('never.listen', () => undefined)
    small.publish('never.say', bytes(''))
    await until('both are told', () => seen.length === 2)
    expect(seen).toEqual(['subscription never.listen', 'publish never.say'])
  })

  test('a connection whose inbox prefix is not its own gets PERMISSION, not silence', async () => {
    const bus = await connectNats({
      servers: server.url,
      credentials: { ...server.credentials('small'), inboxPrefix: '_INBOX_other' },
      name: 'wrong',
    })
    await expect(bus.request('may.ask', bytes(''), { timeoutMs: 10_000 })).rejects.toMatchObject({
      code: 'PERMISSION',
    })
    await bus.close()
  })

  test('a credential that the server does not know is refused with PERMISSION, none at all too', async () => {
    const stranger = { nkeySeed: newSeed('user'), inboxPrefix: '_INBOX_x' }
    await expect(
      connectNats({ servers: server.url, credentials: stranger, name: 'stranger' }),
    ).rejects.toMatchObject({ code: 'PERMISSION' })
    await expect(
      connectNats({ servers: server.url, credentials: null, name: 'nobody' }),
    ).rejects.toMatchObject({ code: 'PERMISSION' })
  })
})

describe('a connection and its server', () => {
  test('no server: CONN that says what to type', async () => {
    await expect(
      connectNats({ servers: 'nats://127.0.0.1:9', credentials: null, name: 'x' }),
    ).rejects.toMatchObject({ code: 'CONN', hint: expect.stringContaining('troupe up') })
  })

  test('a request in flight when the server is killed is a TIMEOUT at once: it may have run', async () => {
    const server = await startTestServer()
    try {
      const [a, b] = [await server.connect('a'), await server.connect('b')]
      let arrived: () => void = () => undefined
      const asked = new Promise<void>((resolve) => (arrived = resolve))
      b.subscribe('silent', () => arrived())
      await b.flush()
      const started = performance.now()
      const answer = a.request('silent', bytes(''), { timeoutMs: 30_000 }).catch((error: unknown) => error)
      await asked
      await server.kill()
      expect(await answer).toMatchObject({ code: 'TIMEOUT', data: { reason: 'link' } })
      expect(performance.now() - started).toBeLessThan(5000)
      await server.start()
    } finally {
      await server.close()
    }
  })

  test('without a server a connection that may wait is made when the server comes, and a stopped server is noticed within seconds', async () => {
    const server = await startTestServer()
    try {
      await server.kill()
      const waiting = connectNats({
        servers: server.url,
        credentials: server.credentials(),
        name: 'early',
        waitMs: Infinity,
      })
      await server.start()
      const bus = await waiting
      expect(bus.connected).toBe(true)
      process.kill(server.running.pid, 'SIGSTOP')
      await until('the silence is noticed', () => !bus.connected, 15_000)
      process.kill(server.running.pid, 'SIGCONT')
      await until('the link is back', () => bus.connected, 15_000)
      await bus.close()
    } finally {
      await server.close()
    }
  }, 40_000)

  test('what was acknowledged before the server was killed is there afterwards', async () => {
    const server = await startTestServer()
    try {
      const bus = await server.connect('a')
      await bus.ensureStream({
        name: 'kept',
        subjects: ['kept.>'],
        kind: 'limits',
        storage: 'file',
        maxBytes: -1,
        maxAgeMs: 0,
        duplicateWindowMs: 1000,
        allowDirect: true,
        asyncPersist: false,
      })
      for (let i = 0; i < 50; i++) await bus.append('kept.x', bytes(`${i}`))
      await server.kill()
      await server.start()
      await until('the link is back', () => bus.connected)
      expect((await bus.getLast('kept', 'kept.x'))?.seq).toBe(50)
    } finally {
      await server.close()
    }
  })

  test('the public key comes from the seed', () => {
    const seed = newSeed('user')
    expect(seed).toMatch(/^SU/)
    expect(signerOf(seed, 'user').publicKey).toMatch(/^U[A-Z2-7]{55}$/)
  })
})
