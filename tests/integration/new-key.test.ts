/** A key that was just told to the server: how long it is waited for, on a real nats-server. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { awaitKey } from '../../src/fleet/bus.ts'
import { keyFile } from '../../src/fleet/keys.ts'
import { layoutOf } from '../../src/fleet/layout.ts'
import { writeCredentials } from '../../src/system/contexts.ts'
import { startTestServer, type TestServer } from '../support/test-server.ts'

let server: TestServer
let home: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-key-'))
  server = await startTestServer()
})
afterEach(async () => {
  await server.close()
  await rm(home, { recursive: true, force: true })
})

test('the server cannot be reached for a moment while it takes a new key: that is waited for, not reported', async () => {
  const layout = layoutOf(home, join(home, 'local'), 'main')
  const owner = { role: 'agent', node: 'late' } as const
  await writeCredentials(keyFile(layout, owner), server.credentials())
  await server.kill()
  let isIn = false
  const waiting = awaitKey(layout, owner, server.url).then(() => (isIn = true))
  await new Promise((resolve) => setTimeout(resolve, 300))
  expect(isIn).toBe(false)
  await server.start()
  expect(await waiting).toBe(true)
})
