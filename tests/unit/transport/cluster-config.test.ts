import { expect, test } from 'vitest'
import { clusterText, type ClusterConfig } from '../../../src/transport/cluster-config.ts'

const HOME: ClusterConfig = {
  name: 'troupe',
  host: '127.0.0.1',
  port: 16222,
  routes: [
    { host: '127.0.0.1', port: 16222 },
    { host: '::1', port: 16223 },
  ],
  trust: { secret: 'a "b" c@d/e:$f' },
}
const TLS = { cert: '/k/a.pem', key: '/k/a.key', ca: '/k/ca.pem' }

test('servers of one machine know each other by a secret, which no character of it breaks', () => {
  expect(clusterText(HOME)).toBe(`
# The other servers. One that may join is trusted with all accounts.
cluster {
  name: "troupe"
  listen: "127.0.0.1:16222"
  authorization { user: server, password: "a \\"b\\" c@d/e:$f", timeout: 10 }
  routes: [
    "nats://server:a%20%22b%22%20c%40d%2Fe%3A%24f@127.0.0.1:16222"
    "nats://server:a%20%22b%22%20c%40d%2Fe%3A%24f@[::1]:16223"
  ]
}
`)
})

test('servers of several machines show certificates of one authority to each other', () => {
  const text = clusterText({
    ...HOME,
    host: '0.0.0.0',
    routes: [{ host: 'gpu1', port: 6222 }],
    trust: TLS,
  })
  expect(text).toContain('listen: "0.0.0.0:16222"')
  expect(text).toContain('"nats://gpu1:6222"')
  for (const line of [
    'cert_file: "/k/a.pem"',
    'key_file: "/k/a.key"',
    'ca_file: "/k/ca.pem"',
    'verify: true',
    'min_version: "1.3"',
  ])
    expect(text).toContain(`    ${line}\n`)
  expect(text).not.toContain('authorization')
})

test.each<[string, Partial<ClusterConfig>, RegExp]>([
  ['listens beyond loopback with a secret alone', { host: '0.0.0.0' }, /'0\.0\.0\.0'.*TLS/],
  ['listens on every address, by IPv6', { host: '::' }, /'::'.*TLS/],
  ['reaches beyond loopback with a secret alone', { routes: [{ host: 'gpu1', port: 1 }] }, /'gpu1'.*TLS/],
  ['has a name that only begins as loopback', { host: '127.0.0.1.example' }, /TLS/],
  ['has an empty secret', { trust: { secret: '' } }, /any process of this machine/],
  ['has a cluster name that is none', { name: 'a b' }, /cannot name/],
  ['has no cluster name', { name: '' }, /cannot name/],
])('refused: a server that %s', (_, wrong, words) => {
  expect(() => clusterText({ ...HOME, ...wrong })).toThrow(
    expect.objectContaining({ code: 'USAGE', message: expect.stringMatching(words) }) as Error,
  )
})
