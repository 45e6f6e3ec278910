/**
 * New keys for a fleet that runs. Owns which keys can be exchanged, in which order files and server learn of
 * it, and how long the former ones serve. No run is harmed: agents and coordinator keep their links or make
 * them anew with the credential that is in their file then, and workers never notice.
 */
import { Fault } from '../protocol/faults.ts'
import { ROLES, type BusRole } from '../protocol/table.ts'
import { DAY_MS } from '../system/clock.ts'
import { writeCredentials } from '../system/contexts.ts'
import { newSeed, signerOf } from '../transport/nats/nkey-sign.ts'
import { newOperatorKeys, type Minter } from '../transport/nats/tenant-accounts.ts'
import { beginRotation, pinLocal, readRotation, type AuthorityRotation } from './authority-rotation.ts'
import { ensureTls, readAddress } from './bus-address.ts'
import { ensureBus, findBus, restartBus, tellIfUp } from './bus.ts'
import { promoteNextAuthority } from './certificates.ts'
import { lives, readIssued, writeIssued } from './issued.ts'
import {
  dropPast,
  ensureAccounts,
  mintOwn,
  noteMade,
  publicKeysOf,
  readMinter,
  writeMinter,
  writeOperator,
} from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { localCredentials } from './local-credentials.ts'
import { operatorHere } from './revoke.ts'

/** Whoever holds a credential of this home takes the new one when its link breaks, at the latest then. */
const FORMER_MS = DAY_MS

export interface Rotated {
  /** until when what the former keys signed is taken; null: no more */
  formerUntil: number | null
  /** names whose credential has ended by it */
  ended: string[]
  /** why the bus was not told yet, or null */
  untold: Fault | null
}

/**
 * New keys that mint credentials, of all roles. The caller has the up lock.
 *
 * 1. The server takes old and new before anything is signed with the new.
 * 2. The credentials of this home are minted anew.
 * 3. The former keys serve until the last credential that was handed out has ended; `now` ends them all.
 *
 * @throws {Fault} PERMISSION when the operator's key is not here
 */
export async function rotateSigning(
  layout: FleetLayout,
  { atOnce }: { atOnce: boolean },
  now: number,
): Promise<Rotated> {
  const operator = await operatorHere(layout)
  const tenant = operator.tenants[layout.fleet]!
  const minter = (await readMinter(layout))!
  const issued = await readIssued(layout)
  const until = (role: BusRole): number => {
    const ends = issued.filter((one) => one.role === role && lives(one, now)).map((one) => one.expires)
    return Math.ceil(Math.max(now + FORMER_MS, ...ends) / 1000)
  }
  const seeds = Object.fromEntries(ROLES.map((role) => [role, newSeed('account')])) as Record<BusRole, string>
  // a tenant that an earlier version made has no key of a later one's role
  const replaced = ROLES.filter((role) => tenant.signing[role] !== undefined).map((role) => ({
    role,
    key: tenant.signing[role],
    until: until(role),
  }))
  tenant.former = [...(tenant.former ?? []), ...replaced]
  for (const role of ROLES) tenant.signing[role] = signerOf(seeds[role], 'account').publicKey
  dropPast(operator, now)
  noteMade(operator, Object.values(tenant.signing), now)
  await writeOperator(layout, operator)
  let untold = await tellIfUp(layout, operator)
  await writeMinter(layout, { ...minter, signing: seeds })
  await mintLocal(layout, { ...minter, signing: seeds })
  if (!atOnce) {
    const formerUntil = Math.max(...tenant.former.map((one) => one.until)) * 1000
    return { formerUntil, ended: [], untold }
  }
  tenant.former = []
  await writeOperator(layout, operator)
  untold = await tellIfUp(layout, operator)
  const ended = issued.filter((one) => lives(one, now))
  await writeIssued(
    layout,
    issued.map((one) => (ended.includes(one) ? { ...one, revokedAt: now } : one)),
    now,
  )
  return { formerUntil: null, ended: ended.map(({ name }) => name), untold }
}

/** Each for its own name, as it was. */
async function mintLocal(layout: FleetLayout, minter: Minter): Promise<void> {
  for (const { file, role, claims, credentials } of await localCredentials(layout)) {
    const minted = await mintOwn(minter, role, claims.name)
    const { ca } = credentials
    await writeCredentials(file, { ...minted, ...(ca !== undefined && { ca }) })
  }
}

/**
 * A new operator and a new system account. A server reads its operator when it starts, so one that runs is
 * started again; everybody's credential stays as it is, since accounts signed it. The caller has the up lock.
 *
 * @returns whether a server was started again
 * @throws {Fault} PERMISSION when the operator's key is not here, SETUP when the server does not start
 */
export async function rotateOperator(
  layout: FleetLayout,
  env: Readonly<Record<string, string | undefined>>,
): Promise<{ restarted: boolean }> {
  const operator = { ...(await operatorHere(layout)), keys: newOperatorKeys() }
  noteMade(operator, publicKeysOf(operator.keys))
  await writeOperator(layout, operator)
  await ensureAccounts(layout, operator)
  if ((await findBus(layout)) === null) return { restarted: false }
  await restartBus(layout, env, () => {}, 'it gets a new operator')
  return { restarted: true }
}

/**
 * A new authority of the bus's certificate (authority-rotation.ts has the phases). The caller has the up
 * lock.
 *
 * @param atOnce  the second phase, too, whoever is cut off by it
 * @returns what waits, or waited when it was done at once
 * @throws {Fault} SETUP when the bus has no authority of its own, or the server does not take its certificate
 */
export async function rotateAuthority(
  layout: FleetLayout,
  env: Readonly<Record<string, string | undefined>>,
  { atOnce }: { atOnce: boolean },
  now: number,
): Promise<AuthorityRotation & { done: boolean }> {
  const address = await readAddress(layout)
  if (address?.network?.given !== null)
    throw new Fault('SETUP', 'the bus of this fleet has no authority of its own', {
      hint: 'who made its certificate renews it; `troupe up --listen ADDR` makes an authority',
      retryable: false,
    })
  await beginRotation(layout, now)
  const rotation = (await readRotation(layout, now))!
  const done = atOnce || (rotation.due !== null && rotation.due <= now)
  if (!done) return { ...rotation, done }
  await promoteNextAuthority(layout)
  const isUp = (await findBus(layout)) !== null
  await ensureTls(layout, address, isUp)
  await pinLocal(layout)
  if (isUp) await ensureBus(layout, env, () => {}, { address, certificateIsNew: true })
  return { ...rotation, done }
}
