/** The bus's port is picked and not held: somebody else may have it by the time the server binds it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type AddressInfo, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { pickBusPort } from '../../src/fleet/bus-port.ts'
import { endBus, ensureBus } from '../../src/fleet/bus.ts'
import { layoutOf, prepareLocal, type FleetLayout } from '../../src/fleet/layout.ts'

const PLACE = { address: { host: '127.0.0.1', port: null }, certificateIsNew: false }
let home: string
let layout: FleetLayout
let stranger: Server
let taken: number
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-port-'))
  layout = layoutOf(home, join(home, 'local'), 'main')
  await prepareLocal(layout.dir)
  stranger = createServer().listen(0, '127.0.0.1')
  await new Promise((resolve) => stranger.once('listening', resolve))
  taken = (stranger.address() as AddressInfo).port
})
afterEach(async () => {
  await endBus(layout)
  await new Promise((resolve) => stranger.close(resolve))
  await rm(home, { recursive: true, force: true })
})

function start(pick: () => Promise<number>) {
  return ensureBus(layout, process.env, () => {}, PLACE, pick)
}

test('the picked port is taken before the server binds it: another one is picked', async () => {
  const picked: number[] = []
  const bus = await start(async () => {
    const port = picked.length < 2 ? taken : await pickBusPort()
    picked.push(port)
    return port
  })
  expect(bus).toMatchObject({ started: true, url: `nats://127.0.0.1:${picked[2]}` })
  expect(picked).toEqual([taken, taken, expect.any(Number)])
})

test('every picked port is taken: said after five, with the words of the server', async () => {
  let picks = 0
  await expect(start(() => (picks++, Promise.resolve(taken)))).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringContaining('address already in use'),
  })
  expect(picks).toBe(5)
})
