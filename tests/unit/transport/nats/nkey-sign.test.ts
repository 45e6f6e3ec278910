import { nkeys } from 'nats'
import { expect, test } from 'vitest'
import { newSeed, signerOf, type KeyKind } from '../../../../src/transport/nats/nkey-sign.ts'

const MAKERS = {
  operator: nkeys.createOperator,
  account: nkeys.createAccount,
  user: nkeys.createUser,
} as const satisfies Record<KeyKind, () => unknown>
const KINDS = Object.keys(MAKERS) as KeyKind[]

function seedOf(kind: KeyKind): string {
  return new TextDecoder().decode(MAKERS[kind]().getSeed())
}

test.each(KINDS)(
  'a signature by Node’s Ed25519 is what the nats package verifies, under the same public key: %s',
  (kind) => {
    for (let i = 0; i < 5; i++) {
      const pair = MAKERS[kind]()
      const signer = signerOf(new TextDecoder().decode(pair.getSeed()), kind)
      expect(signer.publicKey).toBe(pair.getPublicKey())
      const nonce = new TextEncoder().encode(`nonce-${i}`)
      expect(nkeys.fromPublic(signer.publicKey).verify(nonce, signer.sign(nonce))).toBe(true)
    }
  },
)

test('a seed with a wrong letter, of another kind or length is refused', () => {
  const seed = seedOf('user')
  const other = seed[20] === 'A' ? 'B' : 'A'
  expect(() => signerOf(seed.slice(0, 20) + other + seed.slice(21), 'user')).toThrow('checksum')
  expect(() => signerOf(seed.slice(0, -1), 'user')).toThrow('SU')
  expect(() => signerOf(seedOf('account'), 'user')).toThrow('SU')
  expect(() => signerOf(seedOf('user'), 'operator')).toThrow('SO')
})

test.each(KINDS)('a new seed is one that the nats package reads, and no two are the same: %s', (kind) => {
  const seeds = Array.from({ length: 20 }, () => newSeed(kind))
  for (const seed of seeds)
    expect(nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey()).toBe(signerOf(seed, kind).publicKey)
  expect(new Set(seeds).size).toBe(20)
})
