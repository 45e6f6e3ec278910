/**
 * Where a fleet's bus is: on loopback in plain text, or reached over the network with TLS. The address is
 * kept, so that the bus comes back where it was: agents, contexts and credentials elsewhere have it. Owns
 * when it may change, and the certificate that goes with it; bus.ts starts the server there.
 */
import { readFile } from 'node:fs/promises'
import { Fault } from '../protocol/faults.ts'
import { formatHostPort } from '../protocol/hostport.ts'
import type { Env } from '../system/paths.ts'
import { endRotationIfDue } from './authority-rotation.ts'
import { certificatesIn, ensureCertificates, pinAuthority, readPinned, serverFile } from './certificates.ts'
import { checkGiven, type GivenCertificate } from './given-certificate.ts'
import type { FleetLayout } from './layout.ts'
import { certificateNames, findPlace, isOwnAddress, isWildcard, tryPlace, type Listen } from './listen.ts'

export interface BusAddress {
  /** where the server listens */
  host: string
  port: number
  /** with TLS, for others too; without: plain text on loopback */
  network?: {
    /** the host in urls */
    name: string
    /** more names for its certificate */
    names: string[]
    /** null: the fleet's own authority */
    given: GivenCertificate | null
  }
}

/** port null: any that is free */
export type WantedAddress = Omit<BusAddress, 'port'> & { port: number | null }

/** What the command line says of it. Without an address all stays as it was but for what is said. */
export interface ListenRequest {
  /** null: on loopback again */
  at?: Listen | null
  names?: readonly string[]
  given?: GivenCertificate
}

const LOOPBACK: WantedAddress = { host: '127.0.0.1', port: null }

export function urlOf({ host, port, network }: BusAddress): string {
  return network === undefined
    ? `nats://${formatHostPort(host, port)}`
    : `tls://${formatHostPort(network.name, port)}`
}

/** @returns null when this fleet never had a bus here */
export function readAddress(layout: FleetLayout): Promise<BusAddress | null> {
  return readFile(layout.bus.address, 'utf8').then(
    (text) => JSON.parse(text) as BusAddress,
    () => null,
  )
}

/** The files for the server's configuration, or undefined for plain text. */
export function tlsFilesOf(
  layout: FleetLayout,
  { network }: WantedAddress,
): { cert: string; key: string } | undefined {
  if (network === undefined) return undefined
  const own = serverFile(layout)
  return network.given === null
    ? { cert: own, key: own }
    : { cert: network.given.cert, key: network.given.key }
}

/**
 * The address at which the bus is to be. Nothing is changed.
 *
 * @param isUp  parts of this fleet run, and know its address
 * @throws {Fault} USAGE for an address that cannot be had, SETUP when it would change under parts that run
 */
export async function wantedAddress(
  layout: FleetLayout,
  { at, names, given }: ListenRequest,
  env: Env,
  isUp: boolean,
): Promise<WantedAddress> {
  const known = await readAddress(layout)
  const before = known?.network
  if (at === null) return movedTo(LOOPBACK, known, isUp)
  if (at !== undefined) {
    const place = await findPlace(at, env)
    const name = before !== undefined && keepsName(known!, place.host) ? before.name : place.name
    const network = { name, names: [...(names ?? [])], given: given ?? null }
    return movedTo({ host: place.host, port: place.port, network }, known, isUp)
  }
  if (known !== null && before !== undefined) {
    const isGone = isWildcard(known.host) && !keepsName(known, known.host)
    const { name } = isGone ? await findPlace(known, env) : before
    if (isUp && name !== before.name)
      throw refusedWhileUp(`this machine has no address ${before.name} any more, by which its parts reach it`)
    const network = { ...before, name, ...(names && { names: [...names] }), ...(given && { given }) }
    return { ...known, network }
  }
  if (names !== undefined || given !== undefined)
    throw new Fault('USAGE', 'a certificate or a name of it is for a bus that is reached over the network', {
      hint: 'say where it listens, too: troupe up --listen ADDR',
    })
  return known ?? LOOPBACK
}

/** A bus on all addresses is known by one of them as long as the machine has it, whatever the main one is. */
function keepsName({ host, network }: BusAddress, wanted: string): boolean {
  return isWildcard(wanted) && host === wanted && isOwnAddress(network!.name)
}

async function movedTo(
  wanted: WantedAddress,
  known: BusAddress | null,
  isUp: boolean,
): Promise<WantedAddress> {
  const isThere =
    known !== null &&
    known.host === wanted.host &&
    known.network?.name === wanted.network?.name &&
    (wanted.port === null || wanted.port === known.port)
  if (isThere) return { ...wanted, port: known.port }
  if (isUp && known !== null) throw refusedWhileUp(`its parts know its bus at ${urlOf(known)}`)
  if (wanted.network !== undefined) await tryPlace({ ...wanted, name: wanted.network.name })
  return wanted
}

function refusedWhileUp(why: string): Fault {
  return new Fault('SETUP', `the fleet is up, and ${why}`, {
    hint: 'end it first, its workers may stay: troupe down --keep-workers; then say this again',
    retryable: false,
  })
}

/**
 * Make what TLS at this address needs, and pin its authority in the credentials that are minted from now on.
 *
 * @param isUp  parts of this fleet run, and trust the authority that was pinned when they started
 * @returns whether a server that runs there has to read its certificate anew
 * @throws {Fault} SETUP when the authority would change under parts that run; see also ensureCertificates and
 * checkGiven
 */
export async function ensureTls(
  layout: FleetLayout,
  { host, network }: WantedAddress,
  isUp: boolean,
  now = new Date(),
): Promise<boolean> {
  if (network?.given === null) await endRotationIfDue(layout, now.getTime())
  const { authority, isNew } = await certificateOf(layout, host, network, now)
  const pinned = (await readPinned(layout)) ?? null
  if (pinned === authority) return isNew
  const isTrusted = network?.given === null && pinned !== null && pinsSigner(pinned, authority!)
  if (isUp && !isTrusted) throw refusedWhileUp('its parts trust the authority that its bus has had')
  await pinAuthority(layout, authority)
  return isNew
}

/** The first one signs. */
function pinsSigner(pinned: string, authority: string): boolean {
  const signer = certificatesIn(authority)[0]
  return certificatesIn(pinned).some(({ fingerprint256 }) => fingerprint256 === signer?.fingerprint256)
}

/** The authority to pin; null: none. */
async function certificateOf(
  layout: FleetLayout,
  host: string,
  network: BusAddress['network'],
  now: Date,
): Promise<{ authority: string | null; isNew: boolean }> {
  if (network === undefined) return { authority: null, isNew: false }
  const { name, names, given } = network
  // its owner renews it: whether it is new is not known here
  if (given !== null) return { authority: await checkGiven(given, [name, ...names], now), isNew: true }
  const all = await certificateNames({ host, name }, names)
  const { authority, made } = await ensureCertificates(layout, all, now)
  return { authority, isNew: made.server }
}
