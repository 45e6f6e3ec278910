/** What is printed to a run that waits helps when it is typed as it is printed. */
import { once } from 'node:events'
import { cpus } from 'node:os'
import { dirname } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run as runProgram, startFleet, task, TROUPE, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => void (fleet = await startFleet({ agents: 1 })))
afterAll(() => fleet.end())

function typed(line: string) {
  return runProgram('bash', ['-c', line], {
    env: { ...fleet.env, PATH: `${dirname(TROUPE)}:${fleet.env['PATH']}` },
  })
}
function nextOf(text: string): string {
  return /^ *next:? +(troupe .+)$/m.exec(text)![1]!
}
function launch(role: object, name = 'waits') {
  return fleet.troupe(['launch', '-f', '-'], { input: task(name, ['sleep', '600'], role) })
}

test('a node that is missing: launch, status, explain and run say one command, and typed it starts the run', async () => {
  const launched = await launch({ nodelist: ['n1'] })
  const id = launched.stdout.trim()
  const said = [
    launched.stderr.slice(launched.stderr.indexOf('is pending')),
    (await fleet.troupe(['status', id])).stdout,
    (await fleet.troupe(['explain', id])).stdout,
  ].map(nextOf)
  const file = task('follows', ['true'], { nodelist: ['n1'] })
  const run = fleet.troupe(['run', '-f', '-'], { input: file })
  const follows = await until('it waits', async () =>
    (await fleet.json<{ run: string }[]>(['ps'])).find((one) => one.run.startsWith('follows-')),
  )
  expect((await fleet.json(['status', follows.run])).help).toEqual({ text: null, next: said[0] })
  const waiter = fleet.start(['wait', follows.run, '--for', 'running'])
  await until('the wait says it', () => waiter.output().stderr.includes('next: '))
  expect(new Set([...said, nextOf(waiter.output().stderr)])).toEqual(
    new Set(['troupe up --agents 2 --detach']),
  )
  const waited = once(waiter, 'close')
  expect(await typed(said[0]!)).toMatchObject({ code: 0 })
  expect((await fleet.troupe(['wait', id, '--for', 'running', '--timeout', '20s'])).code).toBe(0)
  expect((await waited)[0]).toBe(0)
  const { code, stderr } = await run
  expect(code).toBe(0)
  expect(nextOf(stderr)).toBe(said[0])
  await fleet.troupe(['kill', id])
})

test('cores of another run, and a drained node: each command that is printed helps', async () => {
  const all = cpus().length
  const { stdout } = await launch({ nodelist: ['n0'], resources: { cpus: all } }, 'holds')
  const holds = stdout.trim()
  const second = await launch({ nodelist: ['n0'], resources: { cpus: all } })
  expect(second.stderr).toContain(`${holds} of `)
  expect(nextOf(second.stderr.slice(second.stderr.indexOf('is pending')))).toBe(`troupe status ${holds}`)
  expect((await typed(`troupe status ${holds}`)).stdout).toContain('running')
  await fleet.troupe(['kill', holds, second.stdout.trim()])

  await fleet.troupe(['nodes', 'drain', 'n0'])
  const third = await launch({ nodelist: ['n0'] })
  const next = nextOf(third.stderr.slice(third.stderr.indexOf('is pending')))
  expect(next).toBe('troupe nodes drain n0 --off')
  expect((await typed(next)).code).toBe(0)
  expect(
    (await fleet.troupe(['wait', third.stdout.trim(), '--for', 'running', '--timeout', '20s'])).code,
  ).toBe(0)
  await fleet.troupe(['kill', third.stdout.trim()])
})
