/**
 * Why a bus is not reached, in words: from what a try of the client library ended with to a fault with
 * address, reason and next step. Pure. What a refused credential says of itself is credential-words.ts'.
 */
import { isIP } from 'node:net'
import { Fault, isFault } from '../../protocol/faults.ts'
import type { FirstLine } from './first-line.ts'
import { refusalOf, type Refused } from './credential-words.ts'

/** In `data.reason` of the fault. A refused credential has those of credential-words.ts, TLS of tls.ts. */
export type TroubleReason =
  | 'refused'
  | 'no-such-host'
  | 'no-name-server'
  | 'no-route'
  | 'no-answer'
  | 'closed'
  | 'not-nats'
  | 'not-permitted'
  | 'bad-address'
  | 'full'
  | 'other'

interface Tried {
  /** as it was given */
  address: string
  /** how long the try was waited for */
  timeoutMs: number
  /** what is said there, when it was listened to */
  firstLine: FirstLine | null
  refused: Refused
}

interface Words {
  reason: TroubleReason
  text: string
  hint?: string
}

const LOOK = 'is this its address? one at home is started with: troupe up'
const NO_NAME = 'look at the name, or give the address as a number'
const NO_PATH = 'look at the network of this machine, and at firewalls between it and the bus'

/** By the code of the system, or of the client library. */
const WORDS: Readonly<Record<string, Words>> = {
  ECONNREFUSED: { reason: 'refused', text: 'nothing listens there' },
  ENOTFOUND: { reason: 'no-such-host', text: 'there is no host of this name', hint: NO_NAME },
  ENODATA: { reason: 'no-such-host', text: 'there is no address of this name', hint: NO_NAME },
  EAI_NONAME: { reason: 'no-such-host', text: 'there is no host of this name', hint: NO_NAME },
  EAI_AGAIN: { reason: 'no-name-server', text: 'no name server answers', hint: NO_NAME },
  EAI_FAIL: { reason: 'no-name-server', text: 'the name server failed', hint: NO_NAME },
  EHOSTUNREACH: { reason: 'no-route', text: 'there is no route to it', hint: NO_PATH },
  ENETUNREACH: { reason: 'no-route', text: 'there is no route to its network', hint: NO_PATH },
  EHOSTDOWN: { reason: 'no-route', text: 'its host is down', hint: NO_PATH },
  ENETDOWN: { reason: 'no-route', text: 'the network of this machine is down', hint: NO_PATH },
  EADDRNOTAVAIL: { reason: 'no-route', text: 'this machine has no address to reach it from', hint: NO_PATH },
  EAFNOSUPPORT: { reason: 'no-route', text: 'this machine has no such network', hint: NO_PATH },
  ETIMEDOUT: { reason: 'no-answer', text: 'it does not answer', hint: NO_PATH },
  ECONNRESET: { reason: 'closed', text: 'the connection was reset' },
  EPIPE: { reason: 'closed', text: 'the connection was closed' },
  DISCONNECT: { reason: 'closed', text: 'the connection was closed' },
  ECONNABORTED: { reason: 'closed', text: 'the connection was aborted' },
  EACCES: { reason: 'not-permitted', text: 'this machine does not permit it', hint: NO_PATH },
  EPERM: { reason: 'not-permitted', text: 'this machine does not permit it', hint: NO_PATH },
  AUTHENTICATION_TIMEOUT: { reason: 'no-answer', text: 'it got no credential from us in time: busy' },
}

/** What the client library says of a socket that was closed without a word. */
const CLOSED_AT_ONCE = /undefined error/
const NOT_NATS = /unexpected response from server|JSON|Unexpected token/
const AUTH_CODES = new Set(['AUTHORIZATION_VIOLATION', 'AUTHENTICATION_EXPIRED', 'ACCOUNT_EXPIRED'])
const REVOKED = /authentication revoked/i

interface LibraryError {
  code?: string
  message: string
  chainedError?: { code?: string; message: string }
}

/** The fault of one try to reach one address. */
export function faultOfTry(error: unknown, tried: Tried): Fault {
  if (isFault(error)) return error
  const { address } = tried
  const { code = '', message } = error as LibraryError
  if (AUTH_CODES.has(code) || REVOKED.test(message)) return refusedFault(error, tried)
  const { reason, text, hint = LOOK } = wordsOf(error as LibraryError, tried)
  return new Fault('CONN', `the bus at ${address} cannot be reached: ${text}`, {
    hint,
    data: { address, reason },
    cause: error,
  })
}

/** `nats://host:port`, `host`, `[::1]:4222` → what to connect to, or null. */
export function hostOf(address: string): { host: string; port: number } | null {
  try {
    const { hostname, port } = new URL(address.includes('://') ? address : `nats://${address}`)
    return hostname === '' ? null : { host: hostname.replace(/^\[|\]$/g, ''), port: Number(port || 4222) }
  } catch {
    return null
  }
}

function refusedFault(error: unknown, { address, refused }: Tried): Fault {
  const { reason, text, hint } = refusalOf(refused)
  return new Fault('PERMISSION', `the bus at ${address} refuses this credential: ${text}`, {
    hint,
    data: { address, reason },
    cause: error,
  })
}

function wordsOf(error: LibraryError, { address, timeoutMs, firstLine }: Tried): Words {
  const { code = '', message, chainedError: cause } = error
  if (firstLine?.refusal) return { reason: 'full', text: `it takes nobody now: ${firstLine.refusal}` }
  if (cause !== undefined && CLOSED_AT_ONCE.test(cause.message))
    return {
      reason: 'closed',
      text: 'the connection is closed at once, without a word of a nats-server',
      hint: 'is the bus up behind it? a forwarded port whose other end is away does so',
    }
  const system = cause?.code ?? (code === 'CONNECTION_REFUSED' ? 'ECONNREFUSED' : code)
  const known = WORDS[system]
  if (known !== undefined) return { ...known, text: `${known.text} (${system})` }
  if (code === 'TIMEOUT' && firstLine !== null && firstLine.serverName !== null)
    return {
      reason: 'no-answer',
      text: `the nats-server '${firstLine.serverName}' is there and does not let us in within ${seconds(timeoutMs)}`,
      hint: 'it may be busy, or have all the connections that it takes of us',
    }
  if (code === 'TIMEOUT' || code === 'CONNECTION_TIMEOUT')
    return {
      reason: 'no-answer',
      text: `no answer within ${seconds(timeoutMs)}${orNameServer(address)}`,
      hint: 'a firewall may drop what is sent there, or what listens there hangs',
    }
  if (NOT_NATS.test(message))
    return { reason: 'not-nats', text: 'what answers there is no nats-server' }
  if (/Invalid URL|ERR_INVALID_URL|ERR_SOCKET_BAD_PORT/.test(`${code} ${message}`))
    return { reason: 'bad-address', text: 'this is no address', hint: 'write nats://HOST:PORT' }
  return { reason: 'other', text: [message, code].filter(Boolean).join(' ') }
}

function seconds(ms: number): string {
  return `${Math.ceil(ms / 100) / 10} s`
}

/** The time of a try is also that of the name server. */
function orNameServer(address: string): string {
  const host = hostOf(address)?.host ?? ''
  return host === '' || isIP(host) !== 0 ? '' : `, of the bus or of a name server that knows '${host}'`
}

/** Of a bus that has several addresses: each with its reason. One that refuses the credential decides. */
export function togetherOf(faults: readonly Fault[]): Fault {
  if (faults.length === 1) return faults[0]!
  const worst = faults.find(({ code }) => code === 'PERMISSION') ?? faults[0]!
  const [reasons, data] = [faults.map(({ message }) => message), faults.map((fault) => fault.data)]
  return new Fault(worst.code, reasons.join('; '), {
    ...(worst.hint !== undefined && { hint: worst.hint }),
    data: { ...worst.data, addresses: data },
  })
}

/** The same fault, with a sentence more. */
export function withWords(fault: Fault, words: string): Fault {
  return new Fault(fault.code, `${fault.message}${words}`, {
    data: fault.data,
    ...(fault.hint !== undefined && { hint: fault.hint }),
    retryable: fault.retryable,
    cause: fault,
  })
}
