/** A home with the keys of a fleet whose bus was never started. */
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { homeLayout, ownName } from '../../src/fleet/home.ts'
import { ensureKey, ensureOperator, keyFile } from '../../src/fleet/keys.ts'
import type { FleetLayout } from '../../src/fleet/layout.ts'
import { saveContext } from '../../src/system/contexts.ts'

export interface OwnHome {
  home: string
  env: Record<string, string>
  layout: FleetLayout
  owner: string
}

export async function ownHome(): Promise<OwnHome> {
  const home = await mkdtemp(join(tmpdir(), 'troupe-home-'))
  const env = { TROUPE_HOME: home }
  const layout = homeLayout(env)
  const owner = ownName()
  await ensureOperator(layout)
  await ensureKey(layout, { role: 'client' }, owner)
  await saveContext(home, {
    name: 'local',
    url: 'nats://127.0.0.1:4222',
    fleet: layout.fleet,
    user: owner,
    credentials: keyFile(layout, { role: 'client' }),
  })
  return { home, env, layout, owner }
}
