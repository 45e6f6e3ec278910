/**
 * Why a server refuses a credential, in words: what the credential says of itself beside what the server
 * said. Pure. The server has one answer at connect for everything (`Authorization Violation`); only a link
 * that it cuts is told more. So nothing here decides who gets in.
 */
import { whenText } from '../../protocol/when-text.ts'
import type { Credentials } from '../../system/contexts.ts'
import { userClaimsOf, type UserClaims } from './jwt-claims.ts'
import { isSignedBy, signerOf } from './nkey-sign.ts'

export type RefusalReason =
  | 'no-credential'
  | 'damaged'
  | 'no-jwt'
  | 'expired'
  | 'not-yet-valid'
  | 'revoked'
  | 'another-fleet'
  | 'revoked-or-another-fleet'
  | 'account-expired'

export interface Refusal {
  reason: RefusalReason
  /** goes on a sentence: `it expired at …` */
  text: string
  hint: string
}

export interface Refused {
  credentials: Credentials | null
  /** this machine's clock, Unix ms */
  wall: number
  /** what the server said when it cut the link of this credential, now or before */
  cut?: 'expired' | 'account-expired' | 'revoked' | undefined
  /** it was let in earlier */
  wasIn: boolean
  /** how long the server took to refuse it, ms */
  tookMs?: number
  /** the names of the server that let it in, and of the one that refuses it, when they are known */
  servers?: { before: string | null; now: string | null }
}

/** Clocks that differ by less are not worth a word. */
const CLOCKS_DIFFER_MS = 30_000
/**
 * A server with a full resolver looks for an account that it does not know, for 1.9 s. Nothing but words
 * follows from it: one that is busy may take as long for other reasons.
 */
const LOOKED_FOR_MS = 1500
const NEW_ONE = 'get a new credential from the owner of the fleet'
const CLOCK = `look at the clock of this machine (timedatectl), else ${NEW_ONE}`

/** A copy that lost or changed a character is told from one that the server has a reason to refuse. */
function isWhole(jwt: string, issuer: string): boolean {
  const [head, body, signature, ...rest] = jwt.split('.')
  if (signature === undefined || rest.length > 0) return false
  try {
    return isSignedBy(issuer, Buffer.from(`${head}.${body}`), Buffer.from(signature, 'base64url'))
  } catch {
    return false
  }
}

/** @returns why nothing can be signed with it, or null */
export function seedDamageOf({ nkeySeed }: Credentials): string | null {
  try {
    signerOf(nkeySeed, 'user')
    return null
  } catch (error) {
    return (error as Error).message
  }
}

/** @returns why this can be nobody's credential, or null */
export function damageOf(credentials: Credentials): string | null {
  const { nkeySeed, jwt } = credentials
  const damage = seedDamageOf(credentials)
  if (damage !== null || jwt === undefined) return damage
  const claims = userClaimsOf(jwt)
  if (claims === null || !isWhole(jwt, claims.issuer)) return 'its JWT is damaged, or no user’s'
  return claims.publicKey === signerOf(nkeySeed, 'user').publicKey
    ? null
    : 'its JWT is that of another key than its seed'
}

export function refusalOf(refused: Refused): Refusal {
  const { credentials, wall, cut } = refused
  if (credentials === null)
    return { reason: 'no-credential', text: 'there is none', hint: 'choose a context that has one' }
  const damage = damageOf(credentials)
  if (damage !== null)
    return { reason: 'damaged', text: `it is damaged: ${damage}`, hint: `copy it again, or ${NEW_ONE}` }
  const claims = credentials.jwt === undefined ? null : userClaimsOf(credentials.jwt)
  if (cut === 'account-expired')
    return {
      reason: 'account-expired',
      text: 'the account that it is of has expired',
      hint: 'the owner of the fleet, or of the bus, has to renew the account',
    }
  if (claims === null)
    return { reason: 'no-jwt', text: 'it is a key without a JWT, as earlier versions made them', hint: NEW_ONE }
  const { expires, notBefore } = claims
  if (expires !== null && (expires <= wall || cut === 'expired')) return expired(expires, refused)
  if (notBefore !== null && notBefore > wall) return notYet(notBefore, claims, wall)
  return foreignOrRevoked(refused, claims)
}

function expired(expires: number, { wall, cut }: Refused): Refusal {
  const ahead = expires - wall
  if (cut === 'expired' && ahead > CLOCKS_DIFFER_MS)
    return {
      reason: 'expired',
      text:
        `it expired at ${whenText(expires)} by the clock of the bus; this machine's says ${whenText(wall)}, ` +
        `so one of the two is wrong by about ${span(ahead)}`,
      hint: CLOCK,
    }
  return {
    reason: 'expired',
    text: `it expired at ${whenText(expires)}${ahead > -1000 ? '' : `, ${span(-ahead)} ago`}`,
    hint: NEW_ONE,
  }
}

/** It was made by a clock: one that is ahead of ours tells that one of the two is wrong. */
function notYet(notBefore: number, { issuedAt }: UserClaims, wall: number): Refusal {
  const text = `it is not valid yet: not before ${whenText(notBefore)}, in ${span(notBefore - wall)}`
  if (issuedAt - wall > CLOCKS_DIFFER_MS)
    return {
      reason: 'not-yet-valid',
      text:
        `${text}; it was made at ${whenText(issuedAt)} and this machine's clock says ${whenText(wall)}, ` +
        `so one of the two clocks is wrong by at least ${span(issuedAt - wall)}`,
      hint: CLOCK,
    }
  return {
    reason: 'not-yet-valid',
    text: `${text} by this machine's clock, which says ${whenText(wall)}`,
    hint: `wait until then, or ${NEW_ONE}`,
  }
}

function foreignOrRevoked({ cut, wasIn, servers, wall, tookMs = 0 }: Refused, claims: UserClaims): Refusal {
  const { before = null, now = null } = servers ?? {}
  if (wasIn && before !== null && now !== null && before !== now)
    return {
      reason: 'another-fleet',
      text: `it is of another fleet: the bus that let it in was '${before}', and now '${now}' is there`,
      hint: NEW_ONE,
    }
  if (cut === 'revoked' || wasIn)
    return { reason: 'revoked', text: 'it was revoked: it was let in before', hint: NEW_ONE }
  const bus = `the bus${now === null ? '' : ` ('${now}')`}`
  const hint = `look at the address, or ${NEW_ONE}`
  if (tookMs >= LOOKED_FOR_MS)
    return {
      reason: 'another-fleet',
      text: `it is of another fleet: ${bus} looked for its account and does not know it${validity(claims, wall)}`,
      hint,
    }
  return {
    reason: 'revoked-or-another-fleet',
    text: `it was revoked, or is of another fleet: ${bus} does not take it${validity(claims, wall)}`,
    hint,
  }
}

function validity(claims: UserClaims, wall: number): string {
  if (claims.expires === null && claims.notBefore === null) return ''
  const from = claims.notBefore === null ? '' : ` from ${whenText(claims.notBefore)}`
  const to = claims.expires === null ? '' : ` to ${whenText(claims.expires)}`
  return `, though by this machine's clock (${whenText(wall)}) it is valid${from}${to}`
}

const SPANS = [
  ['days', 86_400_000],
  ['h', 3_600_000],
  ['min', 60_000],
] as const

/** In the largest unit of which there are two, or minutes with an hour: `59 min`, `5 h`, `3 days`. */
function span(ms: number): string {
  const [unit, size] = SPANS.find(([, size]) => ms >= 2 * size) ?? (['s', 1000] as const)
  return `${Math.max(1, Math.round(ms / size))} ${unit}`
}
