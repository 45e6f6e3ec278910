/** What a user's JWT says of itself, read without a look at its signature: the server looks at that. */

export interface UserClaims {
  /** the node, person or fleet that the server vouches for */
  name: string
  /** `U…` */
  publicKey: string
  /** `A…` of the account that it is in */
  account: string
  /** `A…` of the key that signed: the role's, or the account itself */
  issuer: string
  /** ms since 1970 */
  issuedAt: number
  notBefore: number | null
  expires: number | null
}

/** @returns null when the text is no JWT of a user */
export function userClaimsOf(jwt: string): UserClaims | null {
  try {
    const claims = JSON.parse(Buffer.from(jwt.split('.')[1] ?? '', 'base64url').toString('utf8')) as Record<
      string,
      unknown
    > & { nats: Record<string, unknown> }
    const { name, sub, iss, iat, nbf, exp, nats } = claims
    if (typeof name !== 'string' || typeof sub !== 'string' || !sub.startsWith('U')) return null
    if (typeof iss !== 'string') return null
    const ms = (value: unknown): number | null =>
      typeof value === 'number' && value > 0 ? value * 1000 : null
    return {
      name,
      publicKey: sub,
      account: typeof nats['issuer_account'] === 'string' ? nats['issuer_account'] : iss,
      issuer: iss,
      issuedAt: ms(iat) ?? 0,
      notBefore: ms(nbf),
      expires: ms(exp),
    }
  } catch {
    return null
  }
}
