import { nkeys } from 'nats'
import { expect, test } from 'vitest'
import { newUserSeed, signerOf } from '../../../../src/transport/nats/nkey-sign.ts'

test('a signature by Node’s Ed25519 is what the nats package verifies, under the same public key', () => {
  for (let i = 0; i < 5; i++) {
    const pair = nkeys.createUser()
    const signer = signerOf(new TextDecoder().decode(pair.getSeed()))
    expect(signer.publicKey).toBe(pair.getPublicKey())
    const nonce = `nonce-${i}`
    expect(
      nkeys
        .fromPublic(signer.publicKey)
        .verify(new TextEncoder().encode(nonce), Buffer.from(signer.sign(nonce), 'base64url')),
    ).toBe(true)
  }
})

test('a seed with a wrong letter, of another kind or length is refused', () => {
  const seed = new TextDecoder().decode(nkeys.createUser().getSeed())
  const other = seed[20] === 'A' ? 'B' : 'A'
  expect(() => signerOf(seed.slice(0, 20) + other + seed.slice(21))).toThrow('checksum')
  expect(() => signerOf(seed.slice(0, -1))).toThrow('SU')
  expect(() => signerOf(new TextDecoder().decode(nkeys.createAccount().getSeed()))).toThrow('SU')
})

test('a new seed is one that the nats package reads, and no two are the same', () => {
  const seeds = Array.from({ length: 20 }, newUserSeed)
  for (const seed of seeds)
    expect(nkeys.fromSeed(new TextEncoder().encode(seed)).getPublicKey()).toBe(signerOf(seed).publicKey)
  expect(new Set(seeds).size).toBe(20)
})
