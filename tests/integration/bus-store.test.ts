/**
 * A bus at home whose store fails under it: a full disk, one stream in error, a store that was deleted or is
 * read-only. The fleet serves again by itself when that is over, and says meanwhile what is wrong.
 */
import { existsSync } from 'node:fs'
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { mountTmpfs, type Mounted } from '../support/mounts.ts'
import { alive, startFleet, task, until, type Fleet } from '../support/fleet.ts'
import { messagesOf } from '../support/streams.ts'

const BOUND_MS = 30_000

function busDir({ home }: Fleet): string {
  return join(home, 'local/main/bus')
}
async function busPid(fleet: Fleet): Promise<number> {
  return Number(await readFile(join(busDir(fleet), 'nats.pid'), 'utf8').catch(() => '0'))
}
/** How often the coordinator has said so. */
async function said(fleet: Fleet, text: string): Promise<number> {
  return (await readFile(join(fleet.home, 'local/main/coordinator.log'), 'utf8')).split(text).length - 1
}
async function restarted(fleet: Fleet, before: number): Promise<number> {
  return until(
    'the bus is another process',
    async () => {
      const pid = await busPid(fleet)
      return pid !== 0 && pid !== before && (await alive(pid)) && pid
    },
    BOUND_MS,
  )
}
async function serves(fleet: Fleet): Promise<void> {
  await until(
    'a run comes to its end',
    async () => (await fleet.troupe(['run', '--', 'true'], { timeoutMs: BOUND_MS })).code === 0,
    BOUND_MS,
  )
}

describe('the disk of a detached fleet is full', () => {
  let dir: string
  let disk: Mounted
  let fleet: Fleet
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'troupe-test-full-'))
    disk = mountTmpfs(join(dir, 'local'), '40m')
    fleet = await startFleet({ env: { TROUPE_LOCAL: disk.path } })
  })
  afterAll(async () => {
    disk?.free()
    await fleet?.end()
    disk?.unmount()
    await rm(dir, { recursive: true, force: true })
  })

  test('it says so meanwhile, and when there is space again it serves by itself: workers ran on, the code is true, logs are whole', async () => {
    const go = join(dir, 'go')
    const command = ['sh', '-c', `echo start; while [ ! -e ${go} ]; do sleep 0.1; done; echo end; exit 7`]
    await fleet.troupe(['launch', '-q', '-f', '-'], {
      input: task('full', command, { replicas: 2, failFast: false }, { failFast: false }),
    })
    const pids = async (): Promise<number[]> =>
      (await fleet.json<{ workers: { pid: number }[] }>(['status', 'full'])).workers.map(({ pid }) => pid)
    expect((await fleet.troupe(['wait', 'full', '--for', 'running', '--timeout', '30s'])).code).toBe(0)
    const before = await pids()

    disk.fill()
    const asked = await until(
      'the coordinator says what is wrong',
      async () => {
        const ps = await fleet.troupe(['ps'])
        return ps.stderr.includes('takes no append') && ps
      },
      BOUND_MS,
    )
    expect(asked).toMatchObject({
      code: 4,
      stdout: '',
      stderr: expect.stringMatching(/bus\/store', cannot be written: there is no space left/),
    })
    expect(await fleet.troupe(['up', '--detach'])).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/no space left.*SETUP/),
    })
    expect(await alive(fleet.info.pids.bus)).toBe(true)

    disk.free()
    await until('it serves', async () => (await fleet.troupe(['ps'])).code === 0, BOUND_MS)
    expect(await pids()).toEqual(before)
    expect(await fleet.troupe(['run', '--', 'touch', go])).toMatchObject({ code: 0 })
    expect(await fleet.troupe(['wait', 'full', '--timeout', '30s'])).toMatchObject({ code: 7 })
    for (const index of [0, 1])
      expect((await fleet.troupe(['logs', `full/main/${index}`, '--raw', '--stream', 'stdout'])).stdout).toBe(
        'start\nend\n',
      )
    for (const pid of [fleet.info.pids.coordinator, ...Object.values(fleet.info.pids.agents)])
      expect(await alive(pid)).toBe(true)
  }, 150_000)
})

describe('one stream of a detached fleet', () => {
  let fleet: Fleet
  let disk: Mounted | null = null
  beforeAll(async () => {
    fleet = await startFleet()
  })
  afterEach(() => {
    disk?.free()
    disk?.unmount()
    disk = null
  })
  afterAll(() => fleet?.end())

  /** Its messages get a disk of their own, which is full; the store as a whole can be written. */
  async function fillStream(stream: string): Promise<void> {
    process.kill(await busPid(fleet), 'SIGKILL')
    const messages = await messagesOf(fleet, stream)
    const kept = join(fleet.home, 'kept')
    await cp(messages, kept, { recursive: true })
    disk = mountTmpfs(messages, '4m')
    await cp(kept, messages, { recursive: true })
    await rm(kept, { recursive: true })
    await fleet.repair()
    disk.fill()
  }

  test.each([['LAUNCH'], ['EVENT'], ['LOG']])(
    '%s cannot be written: the bus is started again, not for ever, and later the fleet serves',
    async (stream) => {
      await fillStream(stream)
      const before = await busPid(fleet)
      // more than a page of each: a small write may find room in one that it has
      const input = task(`writes-${stream.toLowerCase()}`, ['seq', '5000'], {
        env: { BIG: 'x'.repeat(8192) },
      })
      await fleet.troupe(['launch', '-q', '-f', '-'], { input })
      await launchDurably(fleet, input)
      await restarted(fleet, before)
      const restarts = await said(fleet, 'the bus was started again')
      disk!.free()
      await until('no stream is in error', async () => (await failedWrites(fleet)).length === 0, BOUND_MS)
      await serves(fleet)
      // at most one more, 10 s later: it was still full when the first one came
      expect(await said(fleet, 'the bus was started again')).toBeLessThanOrEqual(restarts + 1)
    },
    150_000,
  )

  /** By a publication, as any NATS client can; it is not acknowledged while the stream is in error. */
  async function launchDurably({ info }: Fleet, document: string): Promise<void> {
    const credentials = JSON.parse(await readFile(info.credentials.client, 'utf8'))
    const client = await connectNats({ servers: info.url, credentials, name: 'test' })
    await client
      .append(`troupe.v1.main.launch.${info.user}`, new TextEncoder().encode(document))
      .catch(() => undefined)
    await client.close()
  }

  /** What the server that is there now has said of its streams. */
  async function failedWrites(of: Fleet): Promise<string[]> {
    const pid = await busPid(of)
    const lines = (await readFile(join(busDir(of), 'nats.log'), 'utf8')).split('\n')
    return lines.filter((line) => line.startsWith(`[${pid}]`) && line.includes('failed to store a msg'))
  }
})

describe('the store of a detached fleet', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet()
  })
  afterAll(() => fleet?.end())

  test('it is deleted under the server: the coordinator and `up` say so; when the bus has ended, a new store serves nodes that adopt it', async () => {
    await rm(join(busDir(fleet), 'store'), { recursive: true })
    await until('it is said', () => said(fleet, 'was deleted under it'), BOUND_MS)
    expect(await fleet.troupe(['up', '--detach'])).toMatchObject({
      code: 0,
      stderr: expect.stringContaining('deleted under it'),
    })
    await serves(fleet)
    process.kill(await busPid(fleet), 'SIGKILL')
    await fleet.repair()
    // what ran under the store that is lost is known to its node alone: a person says that it may go on
    expect(await fleet.troupe(['nodes', 'adopt', 'n0'])).toMatchObject({ code: 0 })
    await serves(fleet)
    expect(existsSync(join(busDir(fleet), 'store/jetstream'))).toBe(true)
  }, 120_000)

  test('it is read-only when the bus has ended: `up` says so; writable again, `up` brings all back', async () => {
    const kept = join(fleet.home, 'kept')
    const store = join(busDir(fleet), 'store')
    process.kill(await busPid(fleet), 'SIGKILL')
    await cp(store, kept, { recursive: true })
    const disk = mountTmpfs(store, '64m')
    try {
      await cp(kept, store, { recursive: true })
      disk.setReadOnly(true)
      expect(await fleet.troupe(['up', '--detach'])).toMatchObject({
        code: 1,
        stderr: expect.stringMatching(/not writable|read-only/i),
      })
      disk.setReadOnly(false)
      await fleet.repair()
      await serves(fleet)
    } finally {
      await fleet.troupe(['down'])
      disk.unmount()
    }
  }, 120_000)
})
