/**
 * A client on a machine without /proc: macOS, a strict container. A fleet is up outside. The command line and
 * the library run in a mount namespace where /proc is empty.
 */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root, run, startFleet, TROUPE, type Fleet, type Ran } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet()
})
afterAll(() => fleet.end())

function withoutProc(argv: string[]): Promise<Ran> {
  const script = 'mount -t tmpfs none /proc && [ -z "$(ls /proc)" ] && exec "$@"'
  return run('unshare', ['--mount', 'sh', '-c', script, 'sh', ...argv], { env: fleet.env })
}

async function succeeds(args: string[]): Promise<string> {
  const ran = await withoutProc([TROUPE, ...args])
  expect({ args, code: ran.code, stderr: ran.stderr }).toMatchObject({ args, code: 0 })
  return ran.stdout
}

test('launch, wait, ps, status, logs, explain and nodes of a run that ends', async () => {
  const document = join(fleet.home, 'hello.json')
  await run('sh', ['-c', `cat > ${document}`], {
    input: JSON.stringify({
      apiVersion: 'troupe/v1',
      name: 'hello',
      roles: { main: { kind: 'task', command: ['echo', 'said without proc'] } },
    }),
  })
  const launched = (await succeeds(['launch', '-q', '-f', document])).trim()
  await succeeds(['wait', launched])
  expect(await succeeds(['ps', '--all'])).toContain('hello')
  expect(JSON.parse(await succeeds(['status', launched, '--json']))).toMatchObject({ state: 'succeeded' })
  expect(await succeeds(['logs', launched])).toContain('said without proc')
  await succeeds(['explain', launched])
  expect(await succeeds(['nodes'])).toContain('n0')
})

test('run gives the exit code of its command, and stop ends a run with a receipt', async () => {
  expect((await withoutProc([TROUPE, 'run', '--', 'sh', '-c', 'exit 7'])).code).toBe(7)
  const document = JSON.stringify({
    apiVersion: 'troupe/v1',
    name: 'long',
    roles: { main: { kind: 'task', command: ['sleep', '600'] } },
  })
  await run('sh', ['-c', `cat > ${join(fleet.home, 'long.json')}`], { input: document })
  const launched = (await succeeds(['launch', '-q', '-f', join(fleet.home, 'long.json')])).trim()
  await succeeds(['wait', launched, '--for', 'running'])
  const stopped = JSON.parse(await succeeds(['stop', launched, '--json'])) as { receipts: object[] }
  expect(stopped.receipts).toMatchObject([{ outcome: 'gone' }])
})

test('the library launches and waits', async () => {
  const script = `
    import { connect } from ${JSON.stringify(join(root, 'dist/index.mjs'))}
    const troupe = await connect()
    const { run } = await troupe.launch({ apiVersion: 'troupe/v1', name: 'by-library',
      roles: { main: { kind: 'task', command: ['true'] } } })
    console.log((await troupe.wait(run)).code)
    await troupe.close()`
  const ran = await withoutProc([process.execPath, '--input-type=module', '-e', script])
  expect(ran).toMatchObject({ code: 0, stdout: '0\n' })
})
