/**
 * A fleet of this home whose bus is somebody else's: where that bus is, kept beside the fleet's keys. No
 * server of such a fleet is started or ended here.
 */
import { join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import { readPrivate, writePrivate } from '../system/private-file.ts'
import { connectNats } from '../transport/nats/bus.ts'
import { readAddress, urlOf } from './bus-address.ts'
import { findBus } from './bus.ts'
import { readKey, readMinter, writeMinter } from './keys.ts'
import type { FleetLayout } from './layout.ts'
import { minterOfTenant, type TenantFile } from './tenants.ts'

export interface ForeignBus {
  /** several with commas */
  url: string
  /** PEM of its authority */
  ca?: string
}

function busFile(layout: FleetLayout): string {
  return join(layout.keys, 'bus.json')
}

/** @returns null for a fleet with a server of its own */
export async function readForeignBus(layout: FleetLayout): Promise<ForeignBus | null> {
  const text = await readPrivate(busFile(layout))
  return text === null ? null : (JSON.parse(text) as ForeignBus)
}

/**
 * Take a tenant's keys into this home. The caller has the up lock.
 *
 * @throws {Fault} EXISTS when a fleet of that name is here, and is another one
 */
export async function takeTenant(layout: FleetLayout, tenant: TenantFile): Promise<void> {
  const there = await readMinter(layout)
  const minter = minterOfTenant(tenant)
  const isOther = there !== null && there.accounts.core !== minter.accounts.core
  if (isOther || (there !== null && (await readForeignBus(layout)) === null))
    throw new Fault('EXISTS', `this home has a fleet '${layout.fleet}' already, which is another one`, {
      hint: 'choose another home for this one: TROUPE_HOME=DIR troupe up --bus FILE',
    })
  const { url, ca } = tenant
  await writePrivate(
    busFile(layout),
    `${JSON.stringify({ url, ...(ca !== undefined && { ca }) }, null, 2)}\n`,
  )
  await writeMinter(layout, minter)
}

/**
 * Is the bus there, and does it know this fleet?
 *
 * @throws {Fault} CONN, PERMISSION, SETUP when it asks nobody for a credential
 */
export async function reachForeignBus(
  layout: FleetLayout,
  { url }: ForeignBus,
): Promise<{ pid: null; url: string }> {
  const bus = await connectNats({
    servers: url,
    credentials: await readKey(layout, { role: 'client' }),
    name: 'troupe up',
  })
  await bus.close()
  return { pid: null, url }
}

/** Where the bus of this fleet is; null: it is ours, and is not up. */
export async function liveUrl(layout: FleetLayout): Promise<string | null> {
  const foreign = await readForeignBus(layout)
  if (foreign !== null) return foreign.url
  const [bus, address] = [await findBus(layout), await readAddress(layout)]
  return bus === null || address === null ? null : urlOf(address)
}
