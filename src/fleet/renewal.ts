/**
 * Credentials of agents end, and are renewed while the fleet lives. The coordinator mints the next one when
 * half the life of a credential is over. Each comes with a second one of the same key that may ask for the
 * next, and nothing else: by it an agent that was cut off while no coordinator was there comes back, for as
 * long as that lives.
 */
import { Fault, toFault } from '../protocol/faults.ts'
import type { ReplyOf } from '../protocol/table.ts'
import { DAY_MS, type Clock } from '../system/clock.ts'
import type { Credentials } from '../system/contexts.ts'
import { inboxPrefixOf } from '../protocol/permissions.ts'
import { messengerOn, type Messenger } from '../transport/messenger.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { userClaimsOf, type UserClaims } from '../transport/nats/jwt-claims.ts'
import { newSeed, signerOf } from '../transport/nats/nkey-sign.ts'
import { mintJwt, type Minter } from '../transport/nats/tenant-accounts.ts'
import type { ComponentLog } from './component-log.ts'

/** How long an agent's credential lives. */
const AGENT_LIFE_MS = 7 * DAY_MS
/** How long after that it can still be renewed: so long may all coordinators be away. */
export const RENEWAL_MS = 30 * DAY_MS

/** A credential is valid at once on a server whose clock is behind by up to this. */
const CLOCKS_APART_MS = DAY_MS

type Renewed = ReplyOf<'renew'>

async function mintPair(minter: Minter, node: string, key: string, now: number): Promise<Renewed> {
  const [notBefore, ends] = [now - CLOCKS_APART_MS, now + AGENT_LIFE_MS]
  const [jwt, renewal] = await Promise.all([
    mintJwt(minter, 'agent', node, key, { notBefore, expires: ends }),
    mintJwt(minter, 'renewal', node, key, { notBefore, expires: ends + RENEWAL_MS }),
  ])
  return { jwt, renewal }
}

/** A node's credential that is renewed. */
export async function mintAgent(
  minter: Minter,
  node: string,
  now: number,
  nkeySeed = newSeed('user'),
): Promise<Credentials> {
  const pair = await mintPair(minter, node, signerOf(nkeySeed, 'user').publicKey, now)
  return { nkeySeed, inboxPrefix: inboxPrefixOf('agent', node), ...pair }
}

/** When the next credential is asked for, ms since 1970: half-way from when it began to be valid. */
export function renewAtOf(claims: UserClaims): number {
  return claims.expires === null ? Infinity : claims.expires - lifeOf(claims) / 2
}

function lifeOf({ notBefore, issuedAt, expires }: UserClaims): number {
  return (expires ?? Infinity) - (notBefore ?? issuedAt)
}

/**
 * The coordinator's side. The server vouches for node and key.
 *
 * @param minterOf  asked each time: signing keys are rotated while coordinators run
 */
export function serveRenewals(
  messenger: Pick<Messenger, 'serve'>,
  minterOf: () => Promise<Minter | null>,
  clock: Pick<Clock, 'wall'>,
  log: ComponentLog,
): void {
  messenger.serve('renew', {}, ({ params: { node, key } }, responder) => {
    const mint = async (): Promise<Renewed> => {
      const minter = await minterOf()
      if (minter === null) throw new Fault('FAILED', 'the keys that mint are not where this coordinator is')
      return mintPair(minter, node, key, clock.wall())
    }
    mint().then(
      (pair) => {
        log({ msg: 'renewed a credential', node })
        responder.reply(pair)
      },
      (error: unknown) => responder.fault(toFault(error)),
    )
  })
}

/** Ask for the next credential over a connection of its own. @throws {Fault} CONN, PERMISSION, TIMEOUT */
export async function askForRenewal(
  credentials: Credentials & { renewal: string },
  { servers, fleet, node }: { servers: string; fleet: string; node: string },
): Promise<Renewed> {
  const { renewal, ...rest } = credentials
  const asking = { ...rest, jwt: renewal, inboxPrefix: inboxPrefixOf('renewal', node) }
  const bus = await connectNats({ servers, credentials: asking, name: `troupe: renewal of ${node}` })
  try {
    const key = signerOf(credentials.nkeySeed, 'user').publicKey
    return await messengerOn(bus, fleet).ask('renew', { node, key }, {})
  } finally {
    await bus.close()
  }
}

export interface KeptCredential {
  clock: Clock
  /** the file, which a person may have replaced */
  read(): Promise<Credentials>
  /** absent: the next one comes by the file alone */
  write?(credentials: Credentials): Promise<void>
  ask(credentials: Credentials & { renewal: string }): Promise<Renewed>
  /** the agent is to connect with it */
  onRenewed(credentials: Credentials): Promise<void>
  log: ComponentLog
}

export interface CredentialKeeper {
  /** the newest */
  current(): Credentials
  stop(): void
}

const LOOK_MS = 60_000
/** It has ended, and the agent is cut off. */
const ENDED_LOOK_MS = 20_000
/** Of a life so short as in tests. */
const LOOKS_A_LIFE = 20
const LOOK_MIN_MS = 100
const SAY_MS = 3_600_000

/** Looks after an agent's credential until `stop`. */
export function keepCredential(first: Credentials, options: KeptCredential): CredentialKeeper {
  const { clock, log } = options
  let current = first
  let stopped = false
  let saidAt = -Infinity
  let renewedAt = -Infinity

  const take = async (next: Credentials): Promise<void> => {
    current = next
    await options.onRenewed(next)
    log({ msg: 'has a new credential', until: endOf(next) })
  }
  const look = async (): Promise<void> => {
    const file = await options.read()
    if (file.jwt !== current.jwt && endsAt(file) >= endsAt(current)) await take(file)
    // another authority is pinned: no new credential, but what the next try trusts
    if (file.ca !== undefined && file.ca !== current.ca) current = { ...current, ca: file.ca }
    const claims = claimsOf(current)
    if (claims === null || clock.wall() < renewAtOf(claims)) return
    // by a clock that is days ahead each new one is old
    if (clock.now() - renewedAt < lifeOf(claims) / LOOKS_A_LIFE) return
    if (current.renewal === undefined || options.write === undefined) return
    const next = { ...current, ...(await options.ask({ ...current, renewal: current.renewal })) }
    renewedAt = clock.now()
    await options.write(next)
    await take(next)
  }
  const round = async (): Promise<void> => {
    if (stopped) return
    try {
      await look()
    } catch (error) {
      if (clock.now() - saidAt >= SAY_MS) {
        saidAt = clock.now()
        const fault = toFault(error)
        log({
          level: 'warn',
          msg: 'its credential is not renewed',
          why: fault.message,
          until: endOf(current),
        })
      }
    }
    clock.after(pauseOf(current, clock), () => void round())
  }
  void round()
  return {
    current: () => current,
    stop: () => void (stopped = true),
  }
}

function claimsOf({ jwt }: Credentials): UserClaims | null {
  return jwt === undefined ? null : userClaimsOf(jwt)
}
/** ms since 1970 */
function endsAt(credentials: Credentials): number {
  return claimsOf(credentials)?.expires ?? Infinity
}
function hasEnded(credentials: Credentials, clock: Pick<Clock, 'wall'>): boolean {
  return clock.wall() >= endsAt(credentials)
}
function endOf(credentials: Credentials): string | null {
  const ends = endsAt(credentials)
  return ends === Infinity ? null : new Date(ends).toISOString()
}
function pauseOf(credentials: Credentials, clock: Pick<Clock, 'wall'>): number {
  const claims = claimsOf(credentials)
  if (claims === null || claims.expires === null) return LOOK_MS
  const most = hasEnded(credentials, clock) ? ENDED_LOOK_MS : LOOK_MS
  return Math.max(LOOK_MIN_MS, Math.min(most, lifeOf(claims) / LOOKS_A_LIFE))
}
