/** Servers that speak as much of NATS and TLS as a client needs to be let in, or refused. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createSecureContext, TLSSocket } from 'node:tls'
import { onTestFinished } from 'vitest'
import { issueCertificate, type CertificateRequest, type KeyPair } from '../../src/system/openssl.ts'

const DAY_MS = 24 * 3600 * 1000

export function daysFromNow(days: number): Date {
  return new Date(Date.now() + days * DAY_MS)
}

/** By the real openssl. */
export async function issue(
  names: readonly string[],
  issuer: KeyPair | null,
  more: Partial<CertificateRequest> = {},
): Promise<KeyPair> {
  const dir = await mkdtemp(join(tmpdir(), 'troupe-test-issue-'))
  try {
    const request = {
      commonName: issuer === null ? 'an authority' : 'a bus',
      extensions:
        issuer === null
          ? ['basicConstraints = critical, CA:TRUE', 'subjectKeyIdentifier = hash']
          : ['basicConstraints = CA:FALSE', 'subjectAltName = @names'],
      names,
      notBefore: daysFromNow(-1),
      notAfter: daysFromNow(1),
      ...more,
    }
    return await issueCertificate(request, issuer, dir)
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
}

export interface FakeBus {
  port: number
  /** what clients sent in plain text */
  heard(): string
}

/**
 * @param tls  what it says in its INFO and does then; null: plain text; `mute`: it says TLS and does not
 *             speak it
 */
export async function fakeBus(tls: KeyPair | null | 'mute', host = '127.0.0.1'): Promise<FakeBus> {
  let heard = ''
  const info = { server_id: 'X', version: '2.15.2', proto: 1, max_payload: 1024, headers: true }
  const answer = (socket: Socket): void => {
    socket.on('data', (chunk) => {
      if (chunk.includes('PING')) socket.write('PONG\r\n')
    })
    socket.on('error', () => {})
  }
  const server = createServer((socket) => {
    socket.write(`INFO ${JSON.stringify({ ...info, ...(tls !== null && { tls_required: true }) })}\r\n`)
    socket.on('error', () => {})
    if (tls === null) {
      socket.on('data', (chunk) => (heard += chunk.toString('latin1')))
      answer(socket)
    } else if (tls === 'mute') socket.once('data', () => socket.end('PONG\r\n-ERR\r\n'))
    else {
      const secureContext = createSecureContext({ cert: tls.certificate, key: tls.key })
      answer(new TLSSocket(socket, { isServer: true, secureContext }))
    }
  })
  await new Promise<void>((resolve) => server.listen(0, host, resolve))
  onTestFinished(() => void server.close())
  return { port: (server.address() as AddressInfo).port, heard: () => heard }
}
