import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { PAYLOAD_BYTES_MAX, decode, encode } from '../../../src/protocol/codec.ts'
import { isFault } from '../../../src/protocol/faults.ts'
import { MSGPACK } from '../../../src/protocol/table.ts'

function refused(bytes: Uint8Array, type: string | undefined): boolean {
  try {
    decode(bytes, type)
    return false
  } catch (error) {
    if (isFault(error, 'REQUEST_INVALID')) return true
    throw error
  }
}

test('a JSON value survives msgpack and JSON', () => {
  fc.assert(
    fc.property(fc.jsonValue({ maxDepth: 5 }), (json) => {
      // -0 is 0 in JSON, and a key __proto__ is no key of ours
      const value = JSON.parse(JSON.stringify(json), (key, child: unknown) =>
        key === '__proto__' ? undefined : child,
      ) as unknown
      expect(decode(encode(value, 'msgpack'), MSGPACK)).toEqual(value)
      expect(decode(encode(value, 'json'), undefined)).toEqual(value)
    }),
  )
})

test('any bytes at all are decoded or refused, and never crash', () => {
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(MSGPACK, undefined, 'application/json', 'x'),
      (bytes, type) => void refused(bytes, type),
    ),
    { numRuns: 2000 },
  )
})

test('a message cut short never crashes', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.double({ min: 0, max: 1, noNaN: true }), (value, part) => {
      for (const form of ['msgpack', 'json'] as const) {
        const whole = encode(value, form)
        refused(whole.slice(0, Math.floor(whole.length * part)), form === 'msgpack' ? MSGPACK : undefined)
      }
    }),
  )
})

/** [[[…, it again], it again], it again]: 13 bytes a level, and twice the places to walk */
function sharing(levels: number): string {
  const id = levels.toString(16).padStart(8, '0')
  return levels === 0 ? '90' : `92d669${id}${sharing(levels - 1)}d670${id}`
}

test.each([
  ['lists that refer to themselves and double with each level', sharing(28)],
  ['a reference to nothing', 'd67000000001'],
  ['a set', `d47300${'91'.repeat(40)}90`],
  ['an expression', 'd4780092a161a0'],
  ['an error', 'd4650093a145a161a0'],
  ['a time', 'd6ff00000000'],
  ['a list of floats', 'c7050600000000'],
])('msgpack with %s in it is refused at once', (_, hex) => {
  const began = performance.now()
  for (const whole of [hex, `91${hex}`, `81a161${hex}`])
    expect(refused(Buffer.from(whole, 'hex'), MSGPACK), whole).toBe(true)
  expect(performance.now() - began).toBeLessThan(1000)
})

test('what is undefined is left out', () => {
  expect(decode(encode({ a: 1, b: undefined, c: [{ d: undefined }] }, 'msgpack'), MSGPACK)).toEqual({
    a: 1,
    c: [{}],
  })
  expect(decode(encode({ a: 1, b: undefined }, 'json'), undefined)).toEqual({ a: 1 })
})

test('bytes stay bytes in msgpack, are base64 in JSON, and do not alias the input', () => {
  const packed = encode({ bytes: new Uint8Array([1, 2, 255]) }, 'msgpack')
  const { bytes } = decode(packed, MSGPACK) as { bytes: Uint8Array }
  packed.fill(0)
  expect([...bytes]).toEqual([1, 2, 255])
  expect(new TextDecoder().decode(encode({ bytes: new Uint8Array([1, 2, 255]) }, 'json'))).toBe(
    '{"bytes":"AQL/"}',
  )
})

test('too many bytes and too deep a nesting are refused', () => {
  expect(refused(new Uint8Array(PAYLOAD_BYTES_MAX + 1), undefined)).toBe(true)
  expect(refused(new TextEncoder().encode(`${'['.repeat(40)}${']'.repeat(40)}`), undefined)).toBe(true)
  expect(refused(new TextEncoder().encode('['.repeat(1_000_000)), undefined)).toBe(true)
  expect(refused(new Uint8Array(1_000_000).fill(0x91), MSGPACK)).toBe(true)
  expect(refused(new Uint8Array([0xff, 0xfe]), undefined)).toBe(true)
})

test('a length that promises more than there is costs nothing', () => {
  const from = performance.now()
  for (const head of [
    [0xdd, 0xff, 0xff, 0xff, 0xff],
    [0xdf, 0xff, 0xff, 0xff, 0xff],
    [0xc6, 0xff, 0xff, 0xff, 0xff],
    [0xdb, 0x7f, 0xff, 0xff, 0xff],
  ])
    expect(refused(new Uint8Array(head), MSGPACK)).toBe(true)
  expect(performance.now() - from).toBeLessThan(500)
})

test('a key __proto__ in a message changes no object', () => {
  decode(new TextEncoder().encode('{"__proto__":{"polluted":1}}'), undefined)
  decode(
    new Uint8Array([
      0x81,
      0xa9,
      ...new TextEncoder().encode('__proto__'),
      0x81,
      0xa8,
      ...new TextEncoder().encode('polluted'),
      1,
    ]),
    MSGPACK,
  )
  expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
})
