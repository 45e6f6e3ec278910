/** Each way in which a bus is not reached, with real sockets: the reason is named, and the next step. */
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { openConnection, type NatsOptions } from '../../../../src/transport/nats/open-connection.ts'

async function listening(onConnection: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>()
  const server: Server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return `nats://127.0.0.1:${(server.address() as AddressInfo).port}`
}

/** Nobody listens there any more. */
async function freePort(): Promise<string> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return `nats://127.0.0.1:${port}`
}

function open(servers: string | string[], options: Partial<NatsOptions> = {}) {
  return openConnection({ servers, credentials: null, name: 'x', ...options })
}

const INFO = `INFO ${JSON.stringify({ server_id: 'X', server_name: 'b1', version: '2.12.0', max_payload: 1024 })}\r\n`
const NO_ADDRESS = { reason: 'bad-address', message: /no address/ }
const cases: [string, () => Promise<string>, { reason: string; message: RegExp; code?: string }][] = [
  ['a port that refuses', freePort, { reason: 'refused', message: /nothing listens there \(ECONNREFUSED\)/ }],
  [
    'a name that no host has',
    async () => 'nats://no-host.invalid:4222',
    { reason: 'no-such-host|no-name-server', message: /no-host\.invalid:4222 cannot .*: (there is no host|no name server)/ },
  ],
  [
    'a server that says nothing',
    () => listening(() => {}),
    { reason: 'no-answer', message: /no answer within 0\.3 s/ },
  ],
  [
    'a port that closes at once, as one that is forwarded to nowhere',
    () => listening((socket) => socket.end()),
    { reason: 'closed', message: /closed at once/ },
  ],
  [
    'a port that resets',
    () => listening((socket) => void socket.resetAndDestroy()),
    { reason: 'closed', message: /reset|closed/ },
  ],
  [
    'a web server',
    () => listening((socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')),
    { reason: 'not-nats', message: /no nats-server/ },
  ],
  [
    'an ssh server',
    () => listening((socket) => socket.write('SSH-2.0-OpenSSH_9.2\r\n')),
    { reason: 'not-nats', message: /no nats-server/ },
  ],
  [
    'a server that takes no more connections',
    () => listening((socket) => void socket.end(`-ERR 'maximum connections exceeded'\r\n`)),
    { reason: 'full', message: /takes nobody now: maximum connections exceeded/ },
  ],
  [
    'a server that closes after its first line',
    () => listening((socket) => void socket.end(INFO)),
    { reason: 'no-answer', message: /nats-server 'b1' is there and does not let us in within 0\.8 s/ },
  ],
  [
    'a server that stops after its first line',
    () => listening((socket) => void socket.write(INFO)),
    { reason: 'no-answer', message: /nats-server 'b1' is there/ },
  ],
  ['no address at all', async () => 'nats://[::', NO_ADDRESS],
  ['a port that there cannot be', async () => 'nats://127.0.0.1:99999', NO_ADDRESS],
]

test.each(cases)('%s', async (_, address, { reason, message, code = 'CONN' }) => {
  const servers = await address()
  const fault = await open(servers, { connectTimeoutMs: 300 }).catch((error: unknown) => error)
  expect(fault).toMatchObject({
    code,
    exitCode: 4,
    message: expect.stringMatching(message),
    hint: expect.stringMatching(/./),
    data: { address: servers, reason: expect.stringMatching(new RegExp(`^(${reason})$`)) },
  })
  expect((fault as Error).message).toContain(servers)
})

test('of several addresses each has its reason', async () => {
  const [first, second] = [await freePort(), await listening((socket) => socket.write('SSH-2.0\r\n'))]
  await expect(open(`${first},${second}`, { connectTimeoutMs: 300 })).rejects.toMatchObject({
    code: 'CONN',
    message: expect.stringMatching(new RegExp(`${first} .*nothing listens.*; .*${second} .*no nats-server`)),
    data: {
      addresses: [
        { address: first, reason: 'refused' },
        { address: second, reason: 'not-nats' },
      ],
    },
  })
})
