/** `troupe nodes revoke`: end the credentials of a node that was invited. */
import { ownName } from '../../fleet/home.ts'
import { findOwnFleet, withFleetLock } from '../../fleet/own-fleet.ts'
import { revokeIssued } from '../../fleet/revoke.ts'
import type { Io } from '../frame/io.ts'
import { showRevoked } from '../render/revoked.ts'

export async function revokeNode(io: Io, word: string): Promise<void> {
  const found = await findOwnFleet(io.env, io.context)
  const what = { word, roles: ['agent'] as const, called: 'node' as const, owner: ownName() }
  const revoked = await withFleetLock(
    found,
    'nodes revoke',
    (line) => io.stderr(line),
    () => revokeIssued(found.layout, what, Date.now()),
  )
  showRevoked(io, revoked)
  io.stderr('its workers run on, and nothing new is placed there')
}
