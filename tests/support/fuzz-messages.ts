/**
 * Garbage for every subject of a role, from a seed: random bytes, and the golden messages cut short, with
 * bytes and with values changed, nested deep or under a wrong content type; odd headers and reply subjects.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from './random.ts'

export interface Garbage {
  subject: string
  body: Uint8Array
  headers: Record<string, string>
  reply: string | undefined
}

const BYTES = join(import.meta.dirname, '../golden/bytes')
/** A golden launch would start a Python, a golden drain take the only node: names of one length instead. */
const GOLDEN: readonly { json: Buffer; msgpack: Buffer }[] = readdirSync(BYTES).map((name) => {
  const { json, msgpack } = JSON.parse(readFileSync(join(BYTES, name), 'utf8')) as {
    json: string
    msgpack: string
  }
  const harmless = (text: string): string => text.replaceAll('python', 'printf').replaceAll('n0', 'zz')
  return {
    json: Buffer.from(harmless(json)),
    msgpack: Buffer.from(harmless(Buffer.from(msgpack, 'hex').toString('latin1')), 'latin1'),
  }
})
const GOLDEN_NAMES = readdirSync(BYTES)
const VALUES: readonly unknown[] = [
  ...[null, true, '', 0, -1, 0.5, -0, 2 ** 31, 2 ** 53, -(2 ** 63), 1e308, 5e-324, [], {}, [[[]]]],
  ...['_', '*', '>', 'a.b', '../../etc', '\0', '\u202e', '😀'.repeat(50), 'x'.repeat(100_000)],
  { __proto__: null, constructor: 1, toString: null },
  JSON.parse('{"__proto__":{"run":"x"}}'),
]
const TYPES = ['application/msgpack', 'application/json', 'text/html', '', 'application/msgpack; x=y']
const HEADERS = [
  ...['Troupe-Key', 'Troupe-Epoch', 'Troupe-Not-After', 'Troupe-Reply-To', 'Troupe-Fork', 'Troupe-Offset'],
  ...['Troupe-Record', 'Troupe-Generation', 'Nats-Service-Error', 'Nats-Service-Error-Code', 'Nats-Msg-Id'],
  ...['Nats-Expected-Last-Sequence', 'Nats-Rollup', 'Nats-TTL', 'traceparent', 'Status', 'Nats-Subject'],
]
const HEADER_VALUES = [
  ...['', 'x', '-1', '0', 'NaN', 'Infinity', '1e999', '99999999999999999999', 'a/1', '/', 'é', '503'],
  ...['sub', 'all', '_INBOX.client-ada.x', '_INBOX.agent-n0.x', 'troupe.v1.main.state', 'x'.repeat(5000)],
]
const REPLIES = [
  ...['$JS.API.STREAM.PURGE.troupe_main_STATE', '$JS.ACK.troupe_main_LAUNCH.x.1.1.1.1.1', '$SRV.PING'],
  ...['troupe.v1.main.state', 'troupe.v1.main.beat.n0', 'troupe.v1.main.nodes.resync', '_INBOX.agent-n0.x'],
  ...[
    'troupe.v1.main.launch.ada',
    '_INBOX.client-ben.x',
    '$SYS.REQ.CLAIMS.UPDATE',
    'x'.repeat(2000),
    '_R_.x',
  ],
]

/** @param allowed  subjects with wildcards @param names  for the places of wildcards */
export function garbageOf(
  random: Random,
  allowed: readonly string[],
  names: readonly string[],
  inbox: string,
): Garbage {
  const pattern = random.pick(allowed)
  const subject = pattern
    .split('.')
    .map((token) =>
      token === '*'
        ? random.pick(names)
        : token === '>'
          ? Array.from({ length: random.int(1, 3) }, () => random.pick(names)).join('.')
          : token,
    )
    .join('.')
  const { body, type } = bodyOf(random, subject)
  const headers: Record<string, string> = {}
  const told = random.chance(0.1) ? random.pick(TYPES) : type
  if (told !== undefined) headers['Content-Type'] = told
  for (let i = random.chance(0.3) ? random.int(1, 4) : 0; i > 0; i--)
    headers[random.pick(HEADERS)] = random.pick(HEADER_VALUES)
  const drawn = random.next()
  const reply = drawn < 0.6 ? `${inbox}.${random.int(0, 9)}` : drawn < 0.9 ? random.pick(REPLIES) : undefined
  return { subject, body, headers, reply }
}

function bodyOf(random: Random, subject: string): { body: Uint8Array; type: string | undefined } {
  const msgpack = random.chance(0.5)
  const type = msgpack ? 'application/msgpack' : undefined
  const drawn = random.next()
  if (drawn < 0.1) return { body: bytesOf(random, random.int(0, 2000)), type }
  if (drawn < 0.15) return { body: nested(random, msgpack), type }
  const golden = goldenFor(random, subject)
  if (drawn < 0.2) return { body: golden[msgpack ? 'msgpack' : 'json'], type }
  if (drawn < 0.6) return { body: withBytesChanged(random, golden[msgpack ? 'msgpack' : 'json']), type }
  const value = withValuesChanged(random, JSON.parse(golden.json.toString()))
  return { body: Buffer.from(JSON.stringify(value) ?? ''), type: undefined }
}

/** One of the subject's own row as a rule: `coordinator.stop` for `…coordinator.stop.ada`. */
function goldenFor(random: Random, subject: string): (typeof GOLDEN)[number] {
  const words = subject.split('.')
  const own = GOLDEN_NAMES.flatMap((name, i) => {
    const [family, verb] = name.split('.') as [string, string]
    return words.includes(family) && (verb === 'body' || verb === 'worker' || words.includes(verb)) ? [i] : []
  })
  return GOLDEN[own.length > 0 && random.chance(0.9) ? random.pick(own) : random.int(0, GOLDEN.length - 1)]!
}

function bytesOf(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.int(0, 255))
}

function nested(random: Random, msgpack: boolean): Uint8Array {
  const levels = random.pick([33, 1000, 20_000])
  if (!msgpack) return Buffer.from(random.pick(['[', '{"a":', '[[],']).repeat(levels))
  // lists, maps, lists that claim 16 M places, sets, and references that double with each level
  const level = random.pick(['91', '81a161', 'dd00ffffff', 'd47300', 'd66900000001', 'references'])
  return Buffer.from(level === 'references' ? sharing(28) : level.repeat(levels), 'hex')
}

function sharing(levels: number): string {
  const id = levels.toString(16).padStart(8, '0')
  return levels === 0 ? '90' : `92d669${id}${sharing(levels - 1)}d670${id}`
}

function withBytesChanged(random: Random, golden: Uint8Array): Uint8Array {
  const body = [...golden]
  if (random.chance(0.3)) return Uint8Array.from(body.slice(0, random.int(0, body.length)))
  for (let i = random.int(1, 8); i > 0; i--) {
    const at = random.int(0, Math.max(0, body.length - 1))
    const kind = random.int(0, 3)
    if (kind === 0) body[at] = random.int(0, 255)
    else if (kind === 1) body.splice(at, random.int(1, 10))
    else if (kind === 2) body.splice(at, 0, ...bytesOf(random, random.int(1, 10)))
    else body.splice(at, 0, ...body.slice(at, at + random.int(1, 40)))
  }
  return Uint8Array.from(body)
}

function withValuesChanged(random: Random, value: unknown): unknown {
  if (typeof value !== 'object' || value === null || random.chance(0.05)) return random.pick(VALUES)
  const keys = Object.keys(value)
  const key = keys.length > 0 && random.chance(0.9) ? random.pick(keys) : 'other'
  const copy = structuredClone(value) as Record<string, unknown>
  if (random.chance(0.15)) delete copy[key]
  else copy[key] = withValuesChanged(random, copy[key])
  return copy
}
