/** Keys of a fleet that runs are exchanged and brought back: the page that tells of it is typed here, too. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { blocksOf } from '../support/code-blocks.ts'
import { alive, root, run, startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let dir: string
/** of a worker that lives through all of it */
let work: { run: string; pid: number }
beforeAll(async () => {
  fleet = await startFleet()
  dir = await mkdtemp(join(tmpdir(), 'troupe-keys-'))
  const { stdout } = await fleet.troupe(['launch', '-q', '-f', '-'], {
    input: task('long', ['sleep', '600']),
  })
  expect((await fleet.troupe(['wait', stdout.trim(), '--for', 'running'])).code).toBe(0)
  work = { run: stdout.trim(), pid: (await fleet.json(['status', stdout.trim()])).workers[0].pid }
})
afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await fleet.end()
})

async function worksOn(): Promise<void> {
  const { state, workers } = await until('the coordinator answers again', async () =>
    fleet.json(['status', work.run]).catch(() => null),
  )
  expect([state, workers[0].pid, workers[0].attempt]).toEqual(['running', work.pid, 1])
  expect(await alive(work.pid)).toBe(true)
  await until('the node is ready', async () => (await fleet.json(['nodes']))[0]?.state === 'ready')
  const ran = await fleet.troupe(['run', '-q', '--', 'true'])
  expect(ran.code).toBe(0)
}

test('the page of backup and rotation as it stands: no run is harmed, and what was handed out stays good', async () => {
  const file = join(dir, 'bob.json')
  expect((await fleet.troupe(['user', 'add', 'bob', '-o', file])).code).toBe(0)
  const bob = { TROUPE_HOME: join(dir, 'bob') }
  expect((await fleet.troupe(['context', 'add', file], { env: bob })).code).toBe(0)
  const env = { ...fleet.env, PATH: `${join(root, 'bin')}${delimiter}${fleet.env['PATH']}` }
  for (const { text, language } of blocksOf('docs/howto/backup-and-rotation.md')) {
    expect(language).toBe('sh')
    if (text.includes('-xpf')) await rm(join(fleet.home, 'keys'), { recursive: true })
    const typed = await run('sh', ['-e', '-c', text], { env, cwd: dir })
    expect([typed.code, typed.stderr]).toEqual([0, expect.any(String)])
    await worksOn()
    expect((await fleet.troupe(['ps'], { env: bob })).code).toBe(0)
  }
  const kinds = (await fleet.json(['keys', 'show'])).map(({ kind }: { kind: string }) => kind)
  expect(kinds).toContain('former signing key')
})

test('signing keys that were stolen: what they signed is refused at once, and the run goes on', async () => {
  const bob = { TROUPE_HOME: join(dir, 'bob') }
  const done = await fleet.json(['keys', 'rotate', 'signing', '--now', '--yes'])
  expect(done).toMatchObject({ ended: ['bob'], told: true })
  expect((await fleet.troupe(['ps'], { env: bob })).code).toBe(5)
  await fleet.repair()
  await worksOn()
})
