import { nkeys } from 'nats'
import { expect, test } from 'vitest'
import { signerOf } from '../../../src/transport/nkey-sign.ts'

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
