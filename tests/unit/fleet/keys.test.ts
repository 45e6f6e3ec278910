import { mkdtemp, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { ensureKey, keyFile, readKey, serverUsers } from '../../../src/fleet/keys.ts'
import { layoutOf, type FleetLayout } from '../../../src/fleet/layout.ts'
import { publicKeyOf } from '../../../src/transport/nats/auth.ts'

let home: string
let layout: FleetLayout
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-test-keys-'))
  layout = layoutOf(home, join(home, 'local'), 'main')
})
afterEach(() => rm(home, { recursive: true, force: true }))

test('a key is made once, readable by its owner alone', async () => {
  const first = await ensureKey(layout, { role: 'agent', node: 'n0' }, 'ada')
  expect(await ensureKey(layout, { role: 'agent', node: 'n0' }, 'ada')).toEqual(first)
  expect((await stat(keyFile(layout, { role: 'agent', node: 'n0' }))).mode & 0o777).toBe(0o600)
  expect(first.inboxPrefix).not.toMatch(/[.*>]$/)
})

test('a key that was not made is not there, and looking makes none', async () => {
  expect(await readKey(layout, { role: 'client' })).toBeNull()
  expect(await serverUsers(layout, 'ada')).toEqual([])
})

test('the server’s users are the keys that are there, each with the permissions of its role and name', async () => {
  const agent = await ensureKey(layout, { role: 'agent', node: 'n0' }, 'ada')
  await ensureKey(layout, { role: 'observer' }, 'ada')
  await writeFile(join(layout.keys, 'stranger.json'), '{}')
  await writeFile(join(layout.keys, 'agent.a.b.json'), '{}')
  const users = await serverUsers(layout, 'ada')
  expect(users.map(({ comment }) => comment)).toEqual(['agent of node n0', 'observer ada'])
  expect(users[0]!.publicKey).toBe(publicKeyOf(agent.nkeySeed))
  expect(users[0]!.publish).toContain('troupe.v1.main.beat.n0')
  expect(users[1]!.publish).toContain('troupe.v1.main.coordinator.status.ada')
  expect(users[1]!.publish).not.toContain('troupe.v1.main.coordinator.launch.ada')
})
