/**
 * JWTs of operator, accounts and users, in the form that nats-server reads, signed by Node's own Ed25519. The
 * package that writes the claims signs in plain JavaScript (33 ms each), so it is given signers of ours. Owns
 * no rule of who may do what: tenant-accounts.ts makes the accounts, protocol/permissions.ts the lists.
 */
import {
  encodeAccount,
  encodeActivation,
  encodeOperator,
  encodeUser,
  newScopedSigner,
  type Account,
  type Export,
  type Import,
  type SigningKey,
} from '@nats-io/jwt'
import type { Permissions } from '../../protocol/permissions.ts'
import { signerOf, type KeyKind } from './nkey-sign.ts'

export type { Account as AccountClaims, Export, Import }

/** When a credential may be used, in ms since 1970; absent: without end. */
export interface Validity {
  notBefore?: number
  expires?: number
}

type KeyPair = Exclude<Parameters<typeof encodeUser>[1], string | Uint8Array>

/** The package signs through a key pair; what it does not do with ours throws. */
function pairOf(seed: string, kind: KeyKind): KeyPair {
  const signer = signerOf(seed, kind)
  const refused = (): never => {
    throw new Error('a key pair of ours signs, and nothing else')
  }
  return {
    getPublicKey: () => signer.publicKey,
    // asked for by the package only to see that there is one
    getPrivateKey: () => new Uint8Array(),
    sign: (bytes) => signer.sign(bytes),
    getSeed: refused,
    verify: refused,
    seal: refused,
    open: refused,
    clear: () => {},
  }
}

export function operatorJwt(name: string, seed: string, systemAccount: string): Promise<string> {
  return encodeOperator(name, pairOf(seed, 'operator'), { system_account: systemAccount })
}

export function accountJwt(
  name: string,
  publicKey: string,
  account: Partial<Account>,
  operatorSeed: string,
): Promise<string> {
  return encodeAccount(name, publicKey, account, { signer: pairOf(operatorSeed, 'operator') })
}

/** One account's leave for another to import one subject of it. */
export function activationJwt(
  kind: 'service' | 'stream',
  subject: string,
  importer: string,
  exporterSeed: string,
): Promise<string> {
  return encodeActivation(subject, importer, pairOf(exporterSeed, 'account'), kind, { subject })
}

/** What is signed by this key has the template's permissions, whatever its own claims ask. */
export function scopedSigner(role: string, publicKey: string, permissions: Permissions): SigningKey {
  return newScopedSigner(publicKey, role, limitsOf(permissions))
}

function limitsOf({ publish, subscribe, allowResponses }: Omit<Permissions, 'account'>) {
  return {
    pub: { allow: [...publish] },
    sub: { allow: [...subscribe] },
    // the server counts nanoseconds
    ...(allowResponses !== null && { resp: { max: allowResponses.max, ttl: allowResponses.ttlMs * 1e6 } }),
    ...UNLIMITED,
  }
}

const UNLIMITED = { subs: -1, data: -1, payload: -1 }

/** A user whose permissions are the template of the scoped key that signs. */
export function scopedUserJwt(
  name: string,
  userPublicKey: string,
  account: string,
  signingSeed: string,
  validity: Validity = {},
): Promise<string> {
  return encodeUser(
    name,
    userPublicKey,
    pairOf(signingSeed, 'account'),
    { issuer_account: account },
    { scopedUser: true, ...datesOf(validity) },
  )
}

/** A user with permissions of its own, signed by the account itself: for who holds the account's key. */
export function plainUserJwt(
  name: string,
  userPublicKey: string,
  accountSeed: string,
  permissions: Omit<Permissions, 'account'>,
  validity: Validity = {},
): Promise<string> {
  return encodeUser(
    name,
    userPublicKey,
    pairOf(accountSeed, 'account'),
    limitsOf(permissions),
    datesOf(validity),
  )
}

/** A JWT counts seconds. It ends no later than asked, and begins no later. */
function datesOf({ notBefore, expires }: Validity): { nbf?: number; exp?: number } {
  return {
    ...(notBefore !== undefined && { nbf: Math.floor(notBefore / 1000) }),
    ...(expires !== undefined && { exp: Math.floor(expires / 1000) }),
  }
}
