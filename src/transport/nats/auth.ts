/**
 * The answer to the server's challenge. Owns no file of keys (fleet/keys.ts does) and no cryptography
 * (nkey-sign.ts does).
 */
import type { Credentials } from '../../system/contexts.ts'
import { signerOf } from './nkey-sign.ts'

/** The answer to the challenge, as the client library sends it: by an NKey, or by a JWT that names one. */
export type ChallengeAnswer = { sig: string; nkey: string } | { sig: string; jwt: string }

export function answererOf({ nkeySeed, jwt }: Credentials): (nonce?: string) => ChallengeAnswer {
  const signer = signerOf(nkeySeed, 'user')
  return (nonce = '') => ({
    sig: signer.sign(Buffer.from(nonce)).toString('base64url'),
    ...(jwt === undefined ? { nkey: signer.publicKey } : { jwt }),
  })
}
