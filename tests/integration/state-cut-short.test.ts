/**
 * The state log is cut short on the disk of a real server: the next coordinator says so, and so does whoever
 * asks for a run that was in the part that is lost.
 */
import { readdir, readFile, stat, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startFleet, task, until, type Fleet } from '../support/fleet.ts'
import { messagesOf } from '../support/streams.ts'

let fleet: Fleet
let messages: string
beforeAll(async () => {
  fleet = await startFleet()
  messages = await messagesOf(fleet, 'STATE')
})
afterAll(() => fleet?.end())

/** As a machine that lost its power: nobody writes any more. */
async function endBusAndCoordinator(): Promise<void> {
  const { coordinator, bus } = fleet.info.pids
  process.kill(coordinator, 'SIGKILL')
  process.kill(bus, 'SIGKILL')
}
async function launch(name: string): Promise<string> {
  const input = task(name, ['sleep', '600'])
  return (await fleet.troupe(['launch', '-q', '-f', '-'], { input })).stdout.trim()
}
async function coordinatorLog(): Promise<string> {
  return readFile(join(fleet.home, 'local/main/coordinator.log'), 'utf8')
}

test('its end is lost with a run in it: the coordinator says which, and so does `status` of that run', async () => {
  const kept = await launch('kept')
  expect(await fleet.troupe(['wait', kept, '--for', 'running'])).toMatchObject({ code: 0 })
  const [block] = (await readdir(messages)).filter((name) => name.endsWith('.blk'))
  const file = join(messages, block!)
  const { size } = await stat(file)
  const lost = await launch('lost')
  expect(await fleet.troupe(['wait', lost, '--for', 'running'])).toMatchObject({ code: 0 })
  await endBusAndCoordinator()
  await truncate(file, size)
  await fleet.repair()
  await until('it is said', async () => (await coordinatorLog()).includes('the state log lost history'))
  expect(await coordinatorLog()).toContain(`run ${lost} was accepted at`)
  expect(await fleet.json(['status', kept])).toMatchObject({ state: 'running' })
  const asked = await fleet.troupe(['status', lost])
  expect(asked.code).not.toBe(0)
  expect(asked.stderr).toMatch(/was lost/)
})
