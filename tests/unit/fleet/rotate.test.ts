import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensureKey, ensureOperator, readKey } from '../../../src/fleet/keys.ts'
import { layoutOf, type FleetLayout } from '../../../src/fleet/layout.ts'
import { rotateSigning } from '../../../src/fleet/rotate.ts'
import { userClaimsOf } from '../../../src/transport/nats/jwt-claims.ts'

let home: string
let layout: FleetLayout
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-test-rotate-'))
  layout = layoutOf(home, join(home, 'local'), 'main')
})
afterEach(() => rm(home, { recursive: true, force: true }))

test('what is minted anew is as it was: an agent’s ends and can be renewed, the owner’s has no end', async () => {
  const owners = [{ role: 'agent', node: 'n0' }, { role: 'client' }] as const
  await ensureOperator(layout)
  const before = await Promise.all(owners.map((owner) => ensureKey(layout, owner, 'ada')))
  await rotateSigning(layout, { atOnce: false }, Date.now())
  const [agent, client] = await Promise.all(owners.map((owner) => readKey(layout, owner)))
  expect(userClaimsOf(agent!.jwt!)).toMatchObject({ name: 'n0', expires: expect.any(Number) })
  expect(userClaimsOf(agent!.renewal!)).toMatchObject({ name: 'n0' })
  expect(userClaimsOf(client!.jwt!)).toMatchObject({ name: 'ada', expires: null })
  expect(agent!.jwt).not.toBe(before[0]!.jwt)
  // the next `up` finds nothing to mint
  expect(await ensureKey(layout, owners[0], 'ada')).toEqual(agent)
})
