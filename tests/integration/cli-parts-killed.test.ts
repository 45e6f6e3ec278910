/** Parts of a fleet are killed under a command: it goes on with the next one. */
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { task, until } from '../support/fleet.ts'

const cli = cliFleet()

test('the bus is killed while a run is followed: no line is missing, none comes twice, the code is the child’s [FC-5 U-13 R-10]', async () => {
  const child = cli.start([
    'run',
    '--',
    'sh',
    '-c',
    'for i in $(seq 1 60); do echo tick $i; sleep 0.1; done; exit 3',
  ])
  await until('the first lines are there', () => child.output().stdout.includes('tick 5\n'))
  process.kill(cli.fleet.info.pids.bus, 'SIGKILL')
  await cli.fleet.repair(2)
  await child.ended
  expect(child.output().stdout).toBe(Array.from({ length: 60 }, (_, i) => `tick ${i + 1}\n`).join(''))
  expect(child.exitCode).toBe(3)
})

test('the agent is killed while its worker is followed: the log goes on with the next agent [FC-3]', async () => {
  const run = await cli.launch('agentless', [
    'sh',
    '-c',
    'for i in $(seq 1 40); do echo tick $i; sleep 0.1; done',
  ])
  const child = cli.start(['logs', run, '-f', '--stream', 'stdout'])
  await until('the first lines are there', () => child.output().stdout.includes('tick 5\n'))
  const { workers } = await cli.fleet.json(['status', run])
  process.kill(cli.fleet.info.pids.agents[workers[0].node]!, 'SIGKILL')
  await cli.fleet.repair(2)
  await child.ended
  expect(child.output().stdout).toBe(
    Array.from({ length: 40 }, (_, i) => `[main/0] tick ${i + 1}\n`).join(''),
  )
})

test('without a coordinator a launch goes by the durable door, says so, and runs when one comes [FC-4]', async () => {
  process.kill(cli.fleet.info.pids.coordinator, 'SIGKILL')
  const late = await cli.fleet.troupe(['launch', '-f', '-', '--timeout', '500ms'], {
    input: task('kept', ['true']),
  })
  expect({ code: late.code, stdout: late.stdout }).toEqual({ code: 4, stdout: '' })
  expect(late.stderr).toContain('kept on the bus')
  await cli.fleet.repair(2)
  await until('the launch that was kept has run', async () =>
    (await cli.fleet.json(['ps', '--all'])).some(
      (r: { name: string; state: string }) => r.name === 'kept' && r.state === 'succeeded',
    ),
  )
})

test('a waiter outlives the coordinator: the next one tells it the end [FC-4]', async () => {
  const run = await cli.launch('outlives', ['sh', '-c', 'sleep 4; exit 9'])
  const child = cli.start(['wait', run])
  await cli.fleet.troupe(['wait', run, '--for', 'running', '--timeout', '20s'])
  process.kill(cli.fleet.info.pids.coordinator, 'SIGKILL')
  await cli.fleet.repair(2)
  await child.ended
  expect(child.exitCode).toBe(9)
})
