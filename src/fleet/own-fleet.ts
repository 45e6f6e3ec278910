/** The fleet of a context whose keys are in this home: for commands that mint, revoke and rotate. */
import { findConnection } from '../client/context.ts'
import type { Context, Credentials } from '../system/contexts.ts'
import { homeOf } from '../system/paths.ts'
import { homeLayout } from './home.ts'
import type { FleetLayout } from './layout.ts'
import { minterOf } from './people.ts'
import { takeUpLock } from './up-lock.ts'

export interface OwnFleet {
  /** where its bus is */
  context: Context
  /** the credential of the context */
  own: Credentials
  layout: FleetLayout
}

const LOCK_MS = 180_000

/**
 * @param context  that was typed; default: the one in use
 * @throws {Fault} CONN when there is no context, PERMISSION when its fleet is not that of the keys here
 */
export async function findOwnFleet(
  env: Readonly<Record<string, string | undefined>>,
  context: string | undefined,
): Promise<OwnFleet> {
  const { credentials, credentialsFile, ...found } = await findConnection({
    home: homeOf(env),
    ...(context !== undefined && { context }),
  })
  const layout = homeLayout(env as NodeJS.ProcessEnv, found.fleet)
  const own = { context: { ...found, credentials: credentialsFile! }, own: credentials, layout }
  await minterOf(layout, own.context, credentials)
  return own
}

/** With the up lock. @param note  the command, for those that wait */
export async function withFleetLock<T>(
  { layout }: Pick<OwnFleet, 'layout'>,
  note: string,
  say: (line: string) => void,
  act: () => Promise<T>,
): Promise<T> {
  const release = await takeUpLock(layout.upLock, note, LOCK_MS, (holder) => say(`waiting for ${holder}`))
  try {
    return await act()
  } finally {
    release()
  }
}
