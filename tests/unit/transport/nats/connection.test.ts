import { createServer, type AddressInfo } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { openConnection } from '../../../../src/transport/nats/open-connection.ts'

/** Says that it is a nats-server of some version, and answers pings. */
async function fakeServer(version: string): Promise<string> {
  const server = createServer((socket) => {
    const info = { server_id: 'X', version, proto: 1, max_payload: 1024, headers: true, host: '', port: 0 }
    socket.write(`INFO ${JSON.stringify(info)}\r\n`)
    socket.on('data', (chunk) => {
      if (chunk.includes('PING')) socket.write('PONG\r\n')
    })
    socket.on('error', () => {})
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => void server.close())
  return `nats://127.0.0.1:${(server.address() as AddressInfo).port}`
}

test('a bus that is nats-server 2.11 is refused with its version and the one that is needed', async () => {
  const servers = await fakeServer('2.11.9')
  await expect(openConnection({ servers, credentials: null, name: 'x' })).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringMatching(/2\.11\.9.*2\.12\.0/),
  })
})

test('a bus that is nats-server 2.12 is taken', async () => {
  const servers = await fakeServer('2.12.0')
  const connection = await openConnection({ servers, credentials: null, name: 'x' })
  expect([connection.connected, connection.maxPayload]).toEqual([true, 1024])
  await connection.close()
})
