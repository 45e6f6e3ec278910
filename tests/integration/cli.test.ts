/** The command line on a real fleet: what is launched is waited for, signalled, and ended. */
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { alive, task, until } from '../support/fleet.ts'

const cli = cliFleet()

test('one command launches, follows and passes on: streams apart, the code, what to type next [U-08 K-08 R-10 +R3]', async () => {
  const ran = await cli.fleet.troupe(['run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 7, stdout: 'out\n' })
  expect(ran.stderr).toContain('err\n')
  expect(ran.stderr).toMatch(/FAILED {2}sh-[0-9a-f]{12}\/main\/0 on n\d exited 7/)
  expect(ran.stderr).toMatch(/next:\n {2}troupe status +sh-/)
})

test('wait --for ready returns while the run goes on; its timeout is 124; a stopped run is 130 [A-05 U-10 +U9]', async () => {
  const run = await cli.launch('sleeper', ['sleep', '600'], { replicas: 2 })
  expect((await cli.fleet.troupe(['wait', run, '--for', 'ready', '--timeout', '20s'])).code).toBe(0)
  expect(await cli.fleet.troupe(['wait', run, '--timeout', '300ms'])).toMatchObject({ code: 124, stdout: '' })
  const { workers } = await cli.fleet.json(['status', run])
  const { receipts } = await cli.fleet.json(['stop', run])
  expect(receipts.map((r: { worker: string; outcome: string }) => [r.worker, r.outcome])).toEqual([
    [`${run}/main/0`, 'gone'],
    [`${run}/main/1`, 'gone'],
  ])
  for (const { pid } of workers) expect(await alive(pid)).toBe(false)
  expect((await cli.fleet.troupe(['wait', run])).code).toBe(130)
})

test('a death by signal has one code, whoever is asked: wait for the run, wait for its worker, run, status [U-09]', async () => {
  for (const [signal, name, code] of [
    ['PROF', 'SIGPROF', 155],
    ['35', 'SIGRTMIN+1', 163],
    ['64', 'SIGRTMIN+30', 192],
  ] as const) {
    const run = await cli.launch('dies', ['bash', '-c', `kill -${signal} $$`], { env: { SIGNAL: signal } })
    expect((await cli.fleet.troupe(['wait', run, '--timeout', '20s'])).code).toBe(code)
    expect((await cli.fleet.troupe(['wait', `${run}/main/0`, '--timeout', '20s'])).code).toBe(code)
    const status = await cli.fleet.json(['status', run])
    expect([status.code, status.workers[0].exit.signal]).toEqual([code, name])
  }
  expect((await cli.fleet.troupe(['run', '-q', '--', 'bash', '-c', 'kill -34 $$'])).code).toBe(162)
})

test('a real-time signal is sent by its name or number', async () => {
  const run = await cli.launch('handler', [
    'bash',
    '-c',
    'trap "exit 9" RTMIN+1; echo up; while :; do sleep 0.05; done',
  ])
  await until('the trap is set', async () => (await cli.fleet.troupe(['logs', run])).stdout.includes('up'))
  expect((await cli.fleet.troupe(['signal', run, 'RTMIN+1'])).code).toBe(0)
  expect((await cli.fleet.troupe(['wait', run, '--timeout', '20s'])).code).toBe(9)
})

test('one worker of several is killed by its handle, the others run on', async () => {
  const run = await cli.launch('trio', ['sleep', '600'], { replicas: 3, failFast: false })
  await cli.fleet.troupe(['wait', run, '--for', 'ready', '--timeout', '20s'])
  const { receipts } = await cli.fleet.json(['kill', `${run}/main/1`])
  expect(receipts.map((r: { worker: string }) => r.worker)).toEqual([`${run}/main/1`])
  const { workers } = await cli.fleet.json(['status', run])
  expect(workers.map((w: { state: string }) => w.state)).toEqual(['running', 'exited', 'running'])
  await cli.fleet.troupe(['kill', run])
})

test('a signal that comes twice at once, as from `timeout`: a stop with its grace, not a kill', async () => {
  const child = cli.start([
    'run',
    '--name',
    'polite',
    '--',
    'sh',
    '-c',
    'trap "sleep 0.5; echo bye; exit 0" TERM; echo up; while :; do sleep 0.05; done',
  ])
  let out = ''
  child.stdout!.on('data', (chunk: Buffer) => (out += chunk))
  await until('it runs', async () => out.includes('up'))
  child.kill('SIGTERM')
  await new Promise((resolve) => setTimeout(resolve, 10))
  child.kill('SIGTERM')
  await child.ended
  expect({ code: child.exitCode, out }).toEqual({ code: 130, out: 'up\nbye\n' })
})

test('wait for a point of a run that has ended: 0, and it says what was and what is [U-10]', async () => {
  const run = await cli.launch('over', ['true'])
  expect((await cli.fleet.troupe(['wait', run])).code).toBe(0)
  const { code, stdout } = await cli.fleet.troupe(['wait', run, '--for', 'running'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${run} was running, and is succeeded\n` })
})

test('a status that is read writes nothing: the run’s record is the same before and after [U-11 R-11 +U5 +R2]', async () => {
  const run = await cli.launch('still', ['true'])
  await cli.fleet.troupe(['wait', run])
  await cli.fleet.troupe(['logs', run, '-f'])
  const first = await cli.fleet.json(['status', run])
  for (const argv of [
    ['ps', '--all'],
    ['logs', run],
    ['events', run],
    ['explain', run],
  ])
    await cli.fleet.troupe(argv)
  expect(await cli.fleet.json(['status', run])).toEqual(first)
  expect((await cli.fleet.json(['ps'])).map((r: { run: string }) => r.run)).not.toContain(run)
})

test('two launches of one document at the same moment are two runs; with one key they are one [K-05 FC-8 +K7 +U6]', async () => {
  const both = await Promise.all([cli.launch('same', ['true']), cli.launch('same', ['true'])])
  expect(new Set(both).size).toBe(2)
  const keyed = await Promise.all(
    [0, 1].map(() =>
      cli.fleet.troupe(['launch', '-q', '-f', '-', '--key', 'one-key'], { input: task('same', ['true']) }),
    ),
  )
  expect(new Set(keyed.map((ran) => ran.stdout)).size).toBe(1)
})

test('completion knows the runs that are there', async () => {
  const run = await cli.launch('completed', ['true'])
  expect((await cli.fleet.troupe(['__complete', '--', 'status', 'complete'])).stdout).toBe(`${run}\n`)
})

test('a node that is drained takes nothing new, until it is put back', async () => {
  await cli.fleet.troupe(['nodes', 'drain', 'n0'])
  const run = await cli.launch('drained', ['true'], { replicas: 2 })
  await cli.fleet.troupe(['wait', run])
  expect((await cli.fleet.json(['status', run])).workers.map((w: { node: string }) => w.node)).toEqual([
    'n1',
    'n1',
  ])
  expect((await cli.fleet.json(['nodes'])).find((n: { node: string }) => n.node === 'n0').state).toBe(
    'draining',
  )
  await cli.fleet.troupe(['nodes', 'drain', 'n0', '--off'])
  expect((await cli.fleet.json(['nodes'])).find((n: { node: string }) => n.node === 'n0').state).toBe('ready')
})
