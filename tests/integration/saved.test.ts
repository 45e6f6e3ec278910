/** A stop that is a checkpoint, by the command line on a real fleet: yes, no, by whichever way it ends. */
import { once } from 'node:events'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { root, task, until } from '../support/fleet.ts'

const cli = cliFleet()
const program = join(root, 'tests/support/programs/saves.py')
const role = { stop: { saved: { log: '^checkpoint saved$' } } }

async function saves(name: string, args: string[], more: object = {}, top: object = {}): Promise<string> {
  const run = await cli.launch(name, ['python3', program, ...args], { ...role, ...more }, top)
  await until('it is ready', async () => (await cli.fleet.troupe(['logs', run])).stdout.includes('is ready'))
  return run
}
async function savedEvents(run: string) {
  const { stdout } = await cli.fleet.troupe(['events', run, '--json'])
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  return events
    .filter(({ what }) => ['saved', 'exited', 'gone'].includes(what))
    .map(({ what, saved }) => [what, saved])
}

test.each(['stdout', 'stderr'])(
  'it says so on %s just before it ends: receipt, status, event, explain',
  async (stream) => {
    const run = await saves(`says-${stream}`, [stream, '0.5'])
    const { receipts } = await cli.fleet.json(['stop', run])
    expect(receipts).toMatchObject([{ outcome: 'gone', save: 'yes' }])
    const { saved } = receipts[0]
    expect(saved.ms).toBeGreaterThanOrEqual(500)
    const { workers } = await cli.fleet.json(['status', run])
    expect(workers[0].saved).toEqual(saved)
    expect(saved.at).toBeLessThanOrEqual(workers[0].exitedAt)
    expect(await savedEvents(run)).toEqual(['saved', 'exited', 'gone'].map((what) => [what, saved]))
    const text = `saved after ${(saved.ms / 1000).toFixed(1)} s`
    for (const command of ['explain', 'status', 'stop'])
      expect((await cli.fleet.troupe([command, run])).stdout).toContain(text)
  },
)

test.each([
  ['it says nothing', 'stop', '', '30s'],
  ['a kill', 'kill', 'checkpoint saved', '30s'],
  ['a stop without grace', 'stop', 'checkpoint saved', '0s'],
])('%s: no, though it said so before', async (_, command, word, grace) => {
  const run = await saves('silent', ['stdout', '0', word], { stop: { ...role.stop, grace } })
  const { receipts } = await cli.fleet.json([command, run])
  expect(receipts).toMatchObject([{ outcome: 'gone', save: 'no', saved: null }])
  expect((await savedEvents(run)).filter(([what]) => what === 'saved')).toEqual([['saved', null]])
  const { stdout } = await cli.fleet.troupe(['stop', run])
  expect(stdout).toContain('did not say that it saved ("^checkpoint saved$" was not printed)')
})

test('a role that does not declare it: the receipt has no word of it, and status has null', async () => {
  const run = await saves('plain', ['stdout', '0'], { stop: {} })
  const { receipts } = await cli.fleet.json(['stop', run])
  expect(Object.keys(receipts[0])).not.toContain('saved')
  expect((await cli.fleet.json(['status', run])).workers[0].saved).toBeNull()
})

test.each([
  [
    'the failure of a peer',
    { peer: { command: ['sh', '-c', 'sleep 1; exit 3'], dependsOn: { main: 'ready' } } },
    {},
  ],
  ['a deadline', {}, { deadlines: { run: '2s' } }],
  [
    'stopWhen',
    { short: { command: ['sleep', '1'], dependsOn: { main: 'ready' } } },
    { stopWhen: 'short.done' },
  ],
])('ended by %s: it is asked like by a stop', async (_, others, top) => {
  const main = { command: ['python3', program, 'stdout', '0.2'], ready: { log: 'is ready' }, ...role }
  const document = { ...JSON.parse(task('ways', [])), ...top, roles: { main, ...others } }
  const launched = await cli.fleet.troupe(['launch', '-q', '-f', '-'], { input: JSON.stringify(document) })
  expect(launched.code, launched.stderr).toBe(0)
  await cli.fleet.troupe(['wait', launched.stdout.trim()])
  const { workers } = await cli.fleet.json(['status', launched.stdout.trim()])
  const [worker] = workers.filter((one: { role: string }) => one.role === 'main')
  expect(worker).toMatchObject({ save: 'yes', saved: { ms: expect.any(Number) } })
})

test('Ctrl-C of run: its talk says so', async () => {
  const file = join(cli.dir, 'saves.json')
  const { writeFile } = await import('node:fs/promises')
  await writeFile(file, task('attached', ['python3', program, 'stderr', '0.2'], role))
  const child = cli.start(['run', '-f', file])
  await until('it is ready', async () => child.output().stdout.includes('is ready'))
  child.kill('SIGINT')
  await child.ended
  expect(child.output().stderr).toMatch(/attached-\w+\/main\/0 saved after \d\.\d s/)
})

test('the agent is killed within the stop and comes back: it finds what was said meanwhile', async () => {
  const run = await saves('orphaned', ['stdout', '2'], { stop: { ...role.stop, grace: '60s' } })
  const [worker] = (await cli.fleet.json(['status', run])).workers
  const stopping = cli.start(['stop', run, '--json'])
  await until(
    'it is being stopped',
    async () => (await cli.fleet.json(['status', run])).workers[0].save === 'waiting',
  )
  process.kill(cli.fleet.info.pids.agents[worker.node]!, 'SIGKILL')
  await until('its process has ended', () => {
    try {
      return process.kill(worker.pid, 0) && false
    } catch {
      return true
    }
  })
  await cli.fleet.repair(2)
  await (stopping.exitCode === null ? once(stopping, 'close') : undefined)
  expect(JSON.parse(stopping.output().stdout).receipts).toMatchObject([{ save: 'yes', outcome: 'gone' }])
})
