/**
 * The credential of one connection, which may be renewed: its source is asked again before each try and
 * while the link is down, so a new file is taken without a restart. Owns what is remembered of it: whether
 * it was let in, by which server, and how its link was cut. A source that gives nothing, or something
 * damaged, leaves the credential that is there.
 */
import { Fault, toFault } from '../../protocol/faults.ts'
import type { Credentials } from '../../system/contexts.ts'
import { answererOf, type ChallengeAnswer } from './auth.ts'
import { damageOf, seedDamageOf, type Refused } from './credential-words.ts'

/** A credential, or how it is read anew each time. null: none, for servers that ask for none (never ours). */
export type CredentialSource = Credentials | null | (() => Promise<Credentials | null>)

export interface CredentialHolder {
  /** a renewed one may come */
  readonly canChange: boolean
  readonly inboxPrefix: string | null
  readonly ca: string | undefined
  /** Ask the source again. */
  renew(): Promise<void>
  /** @throws {Fault} PERMISSION when there is none that could be sent */
  check(): void
  /** never throws: an exception here would end the client library's connection for good */
  answer(nonce?: string): ChallengeAnswer | undefined
  letIn(server: string | null): void
  wasCut(how: NonNullable<Refused['cut']>): void
  /** what is known of the credential that was just refused */
  refused(wall: number, server: string | null): Refused
  /** why the source gives no other credential, or null */
  readonly trouble: Fault | null
}

export async function holdCredentials(source: CredentialSource): Promise<CredentialHolder> {
  let current: Credentials | null = null
  let answerer: ((nonce?: string) => ChallengeAnswer) | null = null
  let inboxPrefix: string | null = null
  let trouble: Fault | null = null
  /** of which credential this is remembered */
  let known: { of: string; server: string | null; cut: Refused['cut'] } | null = null
  const identity = (): string => current?.jwt ?? current?.nkeySeed ?? ''

  const take = (credentials: Credentials | null): void => {
    if (credentials === null) throw new Fault('PERMISSION', 'there is no credential any more')
    // a first one is the server's to judge, if it can sign; another one must be worth more than what is there
    const damage = current === null ? seedDamageOf(credentials) : damageOf(credentials)
    if (damage !== null) throw damagedFault(damage)
    if (inboxPrefix !== null && credentials.inboxPrefix !== inboxPrefix)
      throw new Fault('PERMISSION', `it is another's: its inbox is '${credentials.inboxPrefix}'`)
    inboxPrefix = credentials.inboxPrefix
    const { jwt, nkeySeed, ca } = credentials
    if (jwt === current?.jwt && nkeySeed === current?.nkeySeed && ca === current?.ca) return
    answerer = answererOf(credentials)
    current = credentials
  }
  const renew = async (): Promise<void> => {
    if (typeof source !== 'function') return
    try {
      take(await source())
      trouble = null
    } catch (error) {
      trouble = toFault(error, 'PERMISSION')
    }
  }
  if (typeof source === 'function') await renew()
  else if (source !== null) take(source)

  return {
    canChange: typeof source === 'function',
    get inboxPrefix() {
      return inboxPrefix
    },
    get ca() {
      return current?.ca
    },
    renew,
    check() {
      if (current === null && trouble !== null) throw trouble
    },
    answer: (nonce) => answerer?.(nonce),
    letIn: (server) => void (known = { of: identity(), server, cut: undefined }),
    wasCut(how) {
      known = { of: identity(), server: known?.server ?? null, cut: how }
    },
    refused(wall, server) {
      const wasIn = known?.of === identity()
      return {
        credentials: current,
        wall,
        wasIn,
        cut: wasIn ? known?.cut : undefined,
        servers: { before: wasIn ? (known?.server ?? null) : null, now: server },
      }
    },
    get trouble() {
      return trouble
    },
  }
}

function damagedFault(damage: string): Fault {
  return new Fault('PERMISSION', `this credential is damaged: ${damage}`, {
    hint: 'copy it again, or get a new one from the owner of the fleet',
    data: { reason: 'damaged' },
  })
}
