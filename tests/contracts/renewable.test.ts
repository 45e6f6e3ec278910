/** A connection that is exchanged while requests go both ways, on a real server. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { connectRenewable } from '../../src/transport/nats/bus.ts'
import { startTestServer, type TestServer } from '../support/test-server.ts'

let server: TestServer
beforeAll(async () => {
  server = await startTestServer()
})
afterAll(() => server.close())

const none = new Uint8Array(0)
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

test('each request is handed over once and answered, each question of its own too, and nobody sees the link break', async () => {
  const other = await server.connect('other')
  const credentials = server.credentials()
  const { bus, renew } = await connectRenewable({ servers: server.url, credentials, name: 'link 1' })
  const handed = new Map<string, number>()
  bus.subscribe('served.*', (message) => {
    handed.set(message.subject, (handed.get(message.subject) ?? 0) + 1)
    message.respond(bytes('yes'))
  })
  other.subscribe('echo', (message) => message.respond(message.body))
  const links: boolean[] = []
  bus.onLink((up) => links.push(up))
  await Promise.all([bus.flush(), other.flush()])

  let running = true
  let asked = 0
  const askServed = async (): Promise<void> => {
    while (running) await other.request(`served.${asked++}`, none, { timeoutMs: 5000 })
  }
  const askOther = async (): Promise<number> => {
    let answers = 0
    for (; running; answers++) {
      const { body } = await bus.request('echo', bytes(String(answers)), { timeoutMs: 5000 })
      expect(new TextDecoder().decode(body)).toBe(String(answers))
    }
    return answers
  }
  const work = [askServed(), askServed(), askServed(), askServed(), askOther()]
  for (const link of [2, 3]) await renew(`link ${link}`)
  running = false
  const answers = (await Promise.all(work)).at(-1)

  expect(answers).toBeGreaterThan(100)
  expect(asked).toBeGreaterThan(100)
  expect(handed.size).toBe(asked)
  expect([...handed.values()].filter((times) => times !== 1)).toEqual([])
  expect(links).toEqual([])
  await bus.close()
})

test('a subscription that is made while the connection is exchanged is on the new one, too', async () => {
  const other = await server.connect('other')
  const credentials = server.credentials()
  const { bus, renew } = await connectRenewable({ servers: server.url, credentials, name: 'link 1' })
  let renewing = true
  const renewed = renew('link 2').then(() => (renewing = false))
  const heard = new Set<number>()
  let made = 0
  while (renewing) {
    const nth = made++
    bus.subscribe(`made.${nth}`, () => heard.add(nth))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await renewed
  await bus.flush()
  for (let nth = 0; nth < made; nth++) other.publish(`made.${nth}`, none)
  await other.flush()
  await bus.flush()
  expect(heard.size).toBe(made)
  await bus.close()
})

test('a credential that the server refuses is not taken: the old connection serves on', async () => {
  const credentials = server.credentials()
  let current = credentials
  const { bus, renew } = await connectRenewable({
    servers: server.url,
    credentials: () => Promise.resolve(current),
    name: 'link 1',
  })
  current = { ...credentials, jwt: 'no JWT' }
  await expect(renew('link 2')).rejects.toMatchObject({
    code: 'PERMISSION',
  })
  expect(bus.connected).toBe(true)
  await bus.flush()
  await bus.close()
})

test('while the old link is down the new one is taken, and its return is told', async () => {
  const credentials = server.credentials()
  const { bus, renew } = await connectRenewable({ servers: server.url, credentials, name: 'link 1' })
  const links: boolean[] = []
  const isDown = new Promise<void>((resolve) =>
    bus.onLink((up) => {
      links.push(up)
      if (!up) resolve()
    }),
  )
  const heard = new Promise<string>((resolve) =>
    bus.subscribe('late', ({ body }) => resolve(new TextDecoder().decode(body))),
  )
  await bus.flush()
  await server.kill()
  await isDown
  await expect(renew('link 2')).rejects.toMatchObject({ code: 'CONN' })
  await server.start()
  await renew('link 2')
  expect(bus.connected).toBe(true)
  expect(links.at(-1)).toBe(true)
  const other = await server.connect('other')
  other.publish('late', bytes('here'))
  expect(await heard).toBe('here')
  await bus.close()
})
