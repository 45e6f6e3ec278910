import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { failedWrite, isStoreDeleted, refuseUnwritable } from '../../../src/fleet/bus-store.ts'
import { keepBus } from '../../../src/fleet/bus-keeper.ts'
import { layoutOf, type FleetLayout } from '../../../src/fleet/layout.ts'

async function madeLayout(): Promise<FleetLayout> {
  const dir = await mkdtemp(join(tmpdir(), 'troupe-test-store-'))
  onTestFinished(() => rm(dir, { recursive: true, force: true }))
  const layout = layoutOf(dir, dir, 'main')
  await mkdir(layout.bus.dir, { recursive: true })
  return layout
}
function line(pid: number, level: string, text: string): string {
  return `[${pid}] 2026/11/30 08:14:33.584083 [${level}] ${text}\n`
}
const FAILED =
  "JetStream failed to store a msg on stream 'TROUPE > troupe_main_LOG': write /x/1.blk: no space"

test('the last failed write of this server process is found in its log, not one of a process before it', async () => {
  const layout = await madeLayout()
  await writeFile(
    layout.bus.log,
    line(11, 'ERR', FAILED) + line(12, 'INF', 'Server is ready') + line(12, 'ERR', 'Client parser error'),
  )
  expect([failedWrite(layout, 11), failedWrite(layout, 12)]).toEqual([FAILED, null])
})

test('a log that was cut by its own full disk: only the words of one line', async () => {
  const layout = await madeLayout()
  await writeFile(layout.bus.log, `${line(11, 'ERR', FAILED).trimEnd()}${line(11, 'ERR', 'and more')}`)
  expect(failedWrite(layout, 11)).toBe(FAILED)
})

test('no log: no failed write', async () => {
  expect(failedWrite(await madeLayout(), 11)).toBe(null)
})

test('a store that is not there is made, and nothing of the look is left', async () => {
  const layout = await madeLayout()
  expect(isStoreDeleted(layout)).toBe(true)
  await refuseUnwritable(layout)
  expect(await readdir(layout.bus.store)).toEqual([])
})

test('a store that cannot be written is refused with its path', async () => {
  const layout = await madeLayout()
  await writeFile(layout.bus.store, 'no directory')
  await expect(refuseUnwritable(layout)).rejects.toMatchObject({
    code: 'SETUP',
    message: expect.stringContaining(layout.bus.store),
  })
})

test('a bus of somebody else that takes no append is left alone, and it is said', async () => {
  const layout = await madeLayout()
  const lines: Record<string, unknown>[] = []
  let told = (): void => {}
  const said = new Promise<void>((resolve) => (told = resolve))
  const keeper = keepBus({
    layout,
    url: 'nats://bus.example:4222',
    env: {},
    isMute: () => true,
    log(fields) {
      lines.push(fields)
      told()
    },
  })
  await said
  await keeper.stop()
  expect(lines).toEqual([
    { level: 'error', msg: expect.stringMatching(/bus\.example:4222 takes no append: .*its log/) },
  ])
  expect(keeper.trouble()).toMatch(/not one of ours/)
  expect(await readdir(layout.bus.dir)).toEqual([])
})
