/** ULIDs: 48 bits of time, 80 of randomness, sortable; the id of one start of an actor. */
import { randomBytes } from 'node:crypto'

const ALPHABET = '0123456789ABCDEFGHJKMNPQRSTVWXYZ'

export function ulid(wall: number = Date.now(), random: Uint8Array = randomBytes(10)): string {
  let time = ''
  for (let i = 0, rest = wall; i < 10; i++, rest = Math.floor(rest / 32)) time = ALPHABET[rest % 32]! + time
  let bits = 0n
  for (const byte of random) bits = (bits << 8n) | BigInt(byte)
  let tail = ''
  for (let i = 0; i < 16; i++, bits >>= 5n) tail = ALPHABET[Number(bits & 31n)]! + tail
  return time + tail
}
