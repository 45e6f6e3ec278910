import { createServer, type AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { connect } from '../../../src/connect.ts'
import { Fault } from '../../../src/protocol/faults.ts'
import { newSeed } from '../../../src/transport/nats/nkey-sign.ts'
import { cli } from '../../support/cli.ts'

const away = new Fault('CONN', 'the bus at nats://h:1 cannot be reached: nothing listens there')

test.each([
  ['ps'],
  ['nodes'],
  ['run', '--', 'true'],
  ['launch', '--', 'true'],
  ['status', 'r'],
  ['logs', 'r'],
  ['events'],
  ['explain', 'r'],
  ['wait', 'r'],
  ['stop', 'r'],
  ['kill', 'r'],
  ['signal', 'r', 'USR1'],
])(
  '%s --connect-timeout: so long is tried, and what is in the way is said meanwhile',
  async (verb, ...args) => {
    let waited: number | undefined
    const ran = await cli([verb, '--connect-timeout', '5s', ...args], {
      troupe: ({ connectTimeoutMs, onTrouble }) => {
        waited = connectTimeoutMs
        onTrouble!(away)
        throw away
      },
    })
    expect(waited).toBe(5000)
    expect(ran).toMatchObject({ stdout: '', stderr: expect.stringContaining(`${away.message}; trying on\n`) })
    expect(ran.code).toBe(4)
  },
)

test('the library waits for a bus that refuses connections, tells why at once, and gives up when the time is over', async () => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  const told: string[] = []
  const options = {
    url: `nats://127.0.0.1:${port}`,
    fleet: 'main',
    user: 'ann',
    credentials: { nkeySeed: newSeed('user'), inboxPrefix: '_INBOX.client-ann' },
    onTrouble: ({ message }: Fault) => void told.push(message),
  }
  const why = `the bus at nats://127.0.0.1:${port} cannot be reached: nothing listens there (ECONNREFUSED)`
  await expect(connect(options)).rejects.toMatchObject({ code: 'CONN', message: why })
  expect(told).toEqual([])
  await expect(connect({ ...options, connectTimeoutMs: 400 })).rejects.toMatchObject({
    code: 'CONN',
    exitCode: 4,
    message: `${why}; waited 0.4 s for it`,
  })
  expect(told).toEqual([why])
})
