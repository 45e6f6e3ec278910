/**
 * NKeys by Node's own Ed25519: a new seed, and signing (the server's nonce, a JWT). The packages sign in
 * plain JavaScript, which takes 50 ms of each start of the command line and 33 ms for each credential.
 *
 * @see https://docs.nats.io/running-a-nats-service/configuration/securing_nats/auth_intro/nkey_auth seed:
 * base32 of 2 prefix bytes, 32 bytes, CRC-16
 */
import { createPrivateKey, createPublicKey, randomBytes, sign, verify } from 'node:crypto'

const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
/** PKCS #8 header of an Ed25519 private key: 32 raw bytes follow. */
const PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
/** The first byte of a public key: its letter is O, A or U. */
const PREFIX = { operator: 14 << 3, account: 0, user: 20 << 3 } as const
export type KeyKind = keyof typeof PREFIX
/** A seed begins with S, and then with the letter of its kind. */
const SEED_PREFIX = 18 << 3
const SEED_CHARS = 58

export interface Signer {
  /** `O…`, `A…` or `U…` */
  publicKey: string
  /** @returns the 64 bytes of the signature */
  sign(bytes: Uint8Array): Buffer
}

/** 32 random bytes are an Ed25519 private key. */
export function newSeed(kind: KeyKind): string {
  const prefix = [SEED_PREFIX | (PREFIX[kind] >> 5), (PREFIX[kind] & 31) << 3]
  return withChecksum(Buffer.concat([Buffer.from(prefix), randomBytes(32)]))
}

/** Signers of accounts and operators, the newest last: each signs many times. A user's signs once. */
const known = new Map<string, Signer>()
const KNOWN_MAX = 64

/** @throws {Error} when the text is no seed of that kind */
export function signerOf(seed: string, kind: KeyKind): Signer {
  if (kind === 'user') return makeSigner(seed, kind)
  const there = known.get(seed)
  if (there?.publicKey[0] === kind[0]!.toUpperCase()) return there
  const signer = makeSigner(seed, kind)
  if (known.size >= KNOWN_MAX) known.delete(known.keys().next().value!)
  known.set(seed, signer)
  return signer
}

function makeSigner(seed: string, kind: KeyKind): Signer {
  const letters = `S${kind[0]!.toUpperCase()}`
  if (!seed.startsWith(letters) || !/^[A-Z2-7]+$/.test(seed) || seed.length !== SEED_CHARS)
    throw new Error(`not the seed of ${kind === 'user' ? 'a user' : `an ${kind}`} NKey (${letters}…)`)
  const bytes = fromBase32(seed)
  const body = bytes.subarray(0, 34)
  if (crc16(body) !== bytes.readUInt16LE(34))
    throw new Error('the NKey seed is damaged: its checksum is wrong')
  const key = createPrivateKey({
    key: Buffer.concat([PKCS8, body.subarray(2)]),
    format: 'der',
    type: 'pkcs8',
  })
  const raw = Buffer.from(createPublicKey(key).export({ format: 'jwk' }).x!, 'base64url')
  const named = Buffer.concat([Buffer.from([PREFIX[kind]]), raw])
  return {
    publicKey: withChecksum(named),
    sign: (signed) => sign(null, signed, key),
  }
}

/** @param publicKey  `O…`, `A…` or `U…`. @throws {Error} when it is none */
export function isSignedBy(publicKey: string, bytes: Uint8Array, signature: Uint8Array): boolean {
  const raw = fromBase32(publicKey)
  if (raw.length < 35 || crc16(raw.subarray(0, 33)) !== raw.readUInt16LE(33)) throw new Error('not a key')
  const x = raw.subarray(1, 33).toString('base64url')
  return verify(
    null,
    bytes,
    createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' }),
    signature,
  )
}

function withChecksum(bytes: Buffer): string {
  const checksum = Buffer.alloc(2)
  checksum.writeUInt16LE(crc16(bytes))
  return toBase32(Buffer.concat([bytes, checksum]))
}

function fromBase32(text: string): Buffer {
  const bytes: number[] = []
  let [value, bits] = [0, 0]
  for (const char of text) {
    value = ((value << 5) | ALPHABET.indexOf(char)) & 0xfff
    bits += 5
    if (bits >= 8) bytes.push((value >> (bits -= 8)) & 0xff)
  }
  return Buffer.from(bytes)
}

function toBase32(bytes: Buffer): string {
  let text = ''
  let [value, bits] = [0, 0]
  for (const byte of bytes) {
    value = ((value << 8) | byte) & 0xfff
    bits += 8
    while (bits >= 5) text += ALPHABET[(value >> (bits -= 5)) & 31]!
  }
  return bits > 0 ? text + ALPHABET[(value << (5 - bits)) & 31]! : text
}

/** CRC-16/XMODEM */
function crc16(bytes: Buffer): number {
  let crc = 0
  for (const byte of bytes) {
    crc ^= byte << 8
    for (let i = 0; i < 8; i++) crc = ((crc & 0x8000) === 0 ? crc << 1 : (crc << 1) ^ 0x1021) & 0xffff
  }
  return crc
}
