/** What a finished program left running and we ended is said, on a real fleet [helper-ended-silently]. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { root, task, until } from '../support/fleet.ts'

const cli = cliFleet()
const program = join(root, 'tests/support/programs/leaves.py')

/** It runs to its end, and what it left is gone. */
async function leaves(...args: string[]) {
  const ran = await cli.fleet.troupe(['run', '--', 'python3', program, ...args])
  expect(ran.code, ran.stderr).toBe(0)
  const run = /^run (\S+)/m.exec(ran.stderr)![1]!
  return { ran, run, text: async (command: string) => (await cli.fleet.troupe([command, run])).stdout }
}

test('a helper is ended: run, status, explain and events say whom, and by which signal', async () => {
  const { ran, run, text } = await leaves('session')
  // python3 may be a script that starts the interpreter by its path
  const line = /1 process left after main exited was ended: \S*python3 .*leaves.*\(SIGTERM\)/
  expect(ran.stderr).toMatch(line)
  for (const command of ['status', 'explain', 'events']) expect(await text(command)).toMatch(line)
  const { workers } = await cli.fleet.json(['status', run])
  expect(workers[0]).toMatchObject({
    exit: { code: 0 },
    receipt: {
      outcome: 'gone',
      left: { processes: [{ command: expect.stringContaining('leaves'), signal: 'SIGTERM' }], more: 0 },
    },
  })
})

test('more than can be named: the number of the rest', async () => {
  const { ran } = await leaves('many', '8')
  expect(ran.stderr).toMatch(/8 processes left after main exited were ended: .* and 3 more$/m)
})

test('a helper that finishes its work within the grace: nothing is claimed', async () => {
  const { ran, run } = await leaves('finishes', '3')
  expect(ran.stderr).not.toContain('left after main')
  expect((await cli.fleet.json(['status', run])).workers[0].receipt).not.toHaveProperty('left')
})

test('a task of a run that goes on: status says it while the run lives', async () => {
  const roles = {
    short: { command: ['python3', program, 'many', '1'] },
    long: { command: ['sleep', '600'] },
  }
  const document = JSON.stringify({ ...JSON.parse(task('goes-on', [])), roles })
  const run = (await cli.fleet.troupe(['launch', '-q', '-f', '-'], { input: document })).stdout.trim()
  await until('it is said', async () =>
    (await cli.fleet.troupe(['status', run])).stdout.includes(
      `${run}/short/0: 1 process left after main exited was ended: `,
    ),
  )
  expect((await cli.fleet.json(['status', run])).state).toBe('running')
  await cli.fleet.troupe(['kill', run])
})
