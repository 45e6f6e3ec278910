/**
 * The command line on a real fleet: what is launched is followed, read back byte for byte, and ended; parts
 * of the fleet die under it.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { alive, startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let dir: string
beforeAll(async () => {
  fleet = await startFleet({ agents: 2 })
  dir = await mkdtemp(join(tmpdir(), 'troupe-cli-it-'))
})
afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await fleet.end()
})

async function launch(name: string, command: string[], role: object = {}, top: object = {}): Promise<string> {
  const ran = await fleet.troupe(['launch', '-q', '-f', '-'], { input: task(name, command, role, top) })
  if (ran.code !== 0) throw new Error(ran.stderr)
  return ran.stdout.trim()
}
/** Start a command; its end is listened for at once: it may come while something else is awaited. */
function start(args: string[]): ReturnType<Fleet['start']> & { ended: Promise<unknown> } {
  const child = fleet.start(args)
  return Object.assign(child, { ended: once(child, 'close') })
}
function sha(bytes: string | Buffer): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('one command launches, follows and passes on: streams apart, the code, what to type next [U-08 K-08 R-10 +R3]', async () => {
  const ran = await fleet.troupe(['run', '--', 'sh', '-c', 'echo out; echo err >&2; exit 7'])
  expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 7, stdout: 'out\n' })
  expect(ran.stderr).toContain('err\n')
  expect(ran.stderr).toMatch(/FAILED {2}sh-[0-9a-f]{12}\/main\/0 on n\d exited 7/)
  expect(ran.stderr).toMatch(/next:\n {2}troupe status +sh-/)
})

test('wait --for ready returns while the run goes on; its timeout is 124; a stopped run is 130 [A-05 U-10 +U9]', async () => {
  const run = await launch('sleeper', ['sleep', '600'], { replicas: 2 })
  expect((await fleet.troupe(['wait', run, '--for', 'ready', '--timeout', '20s'])).code).toBe(0)
  expect(await fleet.troupe(['wait', run, '--timeout', '300ms'])).toMatchObject({ code: 124, stdout: '' })
  const { workers } = await fleet.json(['status', run])
  const { receipts } = await fleet.json(['stop', run])
  expect(receipts.map((r: { worker: string; outcome: string }) => [r.worker, r.outcome])).toEqual([
    [`${run}/main/0`, 'gone'],
    [`${run}/main/1`, 'gone'],
  ])
  for (const { pid } of workers) expect(await alive(pid)).toBe(false)
  expect((await fleet.troupe(['wait', run])).code).toBe(130)
})

test('a death by signal has one code, whoever is asked: wait for the run, wait for its worker, run, status [U-09]', async () => {
  for (const [signal, name, code] of [
    ['PROF', 'SIGPROF', 155],
    ['35', 'SIGRTMIN+1', 163],
    ['64', 'SIGRTMIN+30', 192],
  ] as const) {
    const run = await launch('dies', ['bash', '-c', `kill -${signal} $$`], { env: { SIGNAL: signal } })
    expect((await fleet.troupe(['wait', run, '--timeout', '20s'])).code).toBe(code)
    expect((await fleet.troupe(['wait', `${run}/main/0`, '--timeout', '20s'])).code).toBe(code)
    const status = await fleet.json(['status', run])
    expect([status.code, status.workers[0].exit.signal]).toEqual([code, name])
  }
  expect((await fleet.troupe(['run', '-q', '--', 'bash', '-c', 'kill -34 $$'])).code).toBe(162)
})

test('a real-time signal is sent by its name or number', async () => {
  const run = await launch('handler', [
    'bash',
    '-c',
    'trap "exit 9" RTMIN+1; echo up; while :; do sleep 0.05; done',
  ])
  await until('the trap is set', async () => (await fleet.troupe(['logs', run])).stdout.includes('up'))
  expect((await fleet.troupe(['signal', run, 'RTMIN+1'])).code).toBe(0)
  expect((await fleet.troupe(['wait', run, '--timeout', '20s'])).code).toBe(9)
})

test('one worker of several is killed by its handle, the others run on', async () => {
  const run = await launch('trio', ['sleep', '600'], { replicas: 3, failFast: false })
  await fleet.troupe(['wait', run, '--for', 'ready', '--timeout', '20s'])
  const { receipts } = await fleet.json(['kill', `${run}/main/1`])
  expect(receipts.map((r: { worker: string }) => r.worker)).toEqual([`${run}/main/1`])
  const { workers } = await fleet.json(['status', run])
  expect(workers.map((w: { state: string }) => w.state)).toEqual(['running', 'exited', 'running'])
  await fleet.troupe(['kill', run])
})

test('logs --raw is the file: 1 MB lines, binary bytes, no newline at the end; --out copies the same [FC-13 R-18 A-33]', async () => {
  const program = join(dir, 'bytes.py')
  await writeFile(
    program,
    'import os,sys\nw=sys.stdout.buffer\nw.write(b"x"*1000000+b"\\n")\nfor i in range(256): w.write(bytes(range(256))*8)\nw.write(b"\\x00\\xff last without newline")\nw.flush()\n',
  )
  const expected = Buffer.concat([
    Buffer.alloc(1_000_000, 'x'),
    Buffer.from('\n'),
    ...Array.from({ length: 256 }, () =>
      Buffer.concat(Array.from({ length: 8 }, () => Buffer.from(Array.from({ length: 256 }, (_, i) => i)))),
    ),
    Buffer.from([0, 255]),
    Buffer.from(' last without newline'),
  ])
  const run = await launch('bytes', ['python3', program])
  const follower = start(['logs', run, '--raw', '--stream', 'stdout', '-f'])
  const followed: Buffer[] = []
  follower.stdout!.on('data', (chunk: Buffer) => followed.push(chunk))
  await follower.ended
  expect(follower.exitCode).toBe(0)
  expect(sha(Buffer.concat(followed))).toBe(sha(expected))
  expect((await fleet.troupe(['logs', run, '--out', dir], { cwd: dir })).code).toBe(0)
  expect(sha(await readFile(join(dir, run, 'main-0-stdout.log')))).toBe(sha(expected))
  const several = await fleet.troupe(['logs', run, '--raw'])
  expect({ code: several.code, stdout: several.stdout }).toEqual({ code: 2, stdout: '' })
  expect(several.stderr).toContain('main/0 stdout, main/0 stderr')
})

test('logs --raw --since gives what was written since, not only what is still to come [U-05]', async () => {
  const run = await launch('ticks', [
    'sh',
    '-c',
    'for i in 1 2 3 4 5 6 7 8 9; do echo tick $i; sleep 0.3; done; sleep 600',
  ])
  await until('all is written', async () => (await fleet.troupe(['logs', run])).stdout.includes('tick 9'))
  const { stdout } = await fleet.troupe([
    'logs',
    `${run}/main/0`,
    '--raw',
    '--stream',
    'stdout',
    '--since',
    '1h',
  ])
  expect(stdout).toBe([1, 2, 3, 4, 5, 6, 7, 8, 9].map((i) => `tick ${i}\n`).join(''))
  await fleet.troupe(['kill', run])
})

test('--out of a directory that cannot be: refused before anything is launched, and at once [R-18]', async () => {
  await writeFile(join(dir, 'a-file'), '')
  for (const out of ['/proc/nothing/here', join(dir, 'a-file')]) {
    const ran = await fleet.troupe(['run', '--name', 'unkept', '--out', out, '--', 'true'])
    expect({ code: ran.code, stdout: ran.stdout }).toEqual({ code: 2, stdout: '' })
    expect(ran.stderr).toContain(`logs cannot be kept in '${out}'`)
  }
  expect((await fleet.json(['ps', '--all'])).some(({ name }: { name: string }) => name === 'unkept')).toBe(
    false,
  )
})

test('a signal that comes twice at once, as from `timeout`: a stop with its grace, not a kill', async () => {
  const child = start([
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
  const run = await launch('over', ['true'])
  expect((await fleet.troupe(['wait', run])).code).toBe(0)
  const { code, stdout } = await fleet.troupe(['wait', run, '--for', 'running'])
  expect({ code, stdout }).toEqual({ code: 0, stdout: `${run} was running, and is succeeded\n` })
})

test('a follower of a run that has not started waits, and its lines carry their worker [A-33 U-05 +A22]', async () => {
  const document = JSON.stringify({
    apiVersion: 'troupe/v1',
    name: 'later',
    roles: {
      first: { kind: 'task', command: ['sleep', '1'] },
      main: {
        kind: 'task',
        replicas: 2,
        dependsOn: { first: { condition: 'done' } },
        command: ['sh', '-c', 'for i in 1 2 3; do echo line $i; sleep 0.1; done'],
      },
    },
  })
  const id = (await fleet.troupe(['launch', '-q', '-f', '-'], { input: document })).stdout.trim()
  const ran = await fleet.troupe(['logs', `${id}/main`, '-f'])
  expect(ran.code).toBe(0)
  expect(ran.stdout.trim().split('\n').toSorted()).toEqual(
    [0, 1].flatMap((index) => [1, 2, 3].map((i) => `[main/${index}] line ${i}`)).toSorted(),
  )
})

test('--tail, --grep, --since and a role’s handle choose lines [U-05]', async () => {
  const run = await launch('lines', ['sh', '-c', 'seq 1 100; echo done >&2'])
  await fleet.troupe(['wait', run])
  expect((await fleet.troupe(['logs', `${run}/main/0`, '--tail', '2', '--stream', 'stdout'])).stdout).toBe(
    '[main/0] 99\n[main/0] 100\n',
  )
  expect((await fleet.troupe(['logs', run, '--grep', '^9.$'])).stdout.split('\n')).toHaveLength(11)
  expect(
    (await fleet.troupe(['logs', run, '--since', '1h', '--stream', 'stdout'])).stdout.split('\n'),
  ).toHaveLength(101)
  const { at } = JSON.parse((await fleet.troupe(['events', run, '--json'])).stdout.trim().split('\n').at(-1)!)
  expect((await fleet.troupe(['logs', run, '--since', new Date(at + 5000).toISOString()])).stdout).toBe('')
})

test('the bus is killed while a run is followed: no line is missing, none comes twice, the code is the child’s [FC-5 U-13 R-10]', async () => {
  const child = start([
    'run',
    '--',
    'sh',
    '-c',
    'for i in $(seq 1 60); do echo tick $i; sleep 0.1; done; exit 3',
  ])
  await until('the first lines are there', () => child.output().stdout.includes('tick 5\n'))
  process.kill(fleet.info.pids.bus, 'SIGKILL')
  await fleet.repair(2)
  await child.ended
  expect(child.output().stdout).toBe(Array.from({ length: 60 }, (_, i) => `tick ${i + 1}\n`).join(''))
  expect(child.exitCode).toBe(3)
})

test('the agent is killed while its worker is followed: the log goes on with the next agent [FC-3]', async () => {
  const run = await launch('agentless', [
    'sh',
    '-c',
    'for i in $(seq 1 40); do echo tick $i; sleep 0.1; done',
  ])
  const child = start(['logs', run, '-f', '--stream', 'stdout'])
  await until('the first lines are there', () => child.output().stdout.includes('tick 5\n'))
  const { workers } = await fleet.json(['status', run])
  process.kill(fleet.info.pids.agents[workers[0].node]!, 'SIGKILL')
  await fleet.repair(2)
  await child.ended
  expect(child.output().stdout).toBe(
    Array.from({ length: 40 }, (_, i) => `[main/0] tick ${i + 1}\n`).join(''),
  )
})

test('without a coordinator a launch goes by the durable door, says so, and runs when one comes [FC-4]', async () => {
  process.kill(fleet.info.pids.coordinator, 'SIGKILL')
  const late = await fleet.troupe(['launch', '-f', '-', '--timeout', '500ms'], {
    input: task('kept', ['true']),
  })
  expect({ code: late.code, stdout: late.stdout }).toEqual({ code: 4, stdout: '' })
  expect(late.stderr).toContain('kept on the bus')
  await fleet.repair(2)
  await until('the launch that was kept has run', async () =>
    (await fleet.json(['ps', '--all'])).some(
      (r: { name: string; state: string }) => r.name === 'kept' && r.state === 'succeeded',
    ),
  )
})

test('a waiter outlives the coordinator: the next one tells it the end [FC-4]', async () => {
  const run = await launch('outlives', ['sh', '-c', 'sleep 4; exit 9'])
  const child = start(['wait', run])
  await fleet.troupe(['wait', run, '--for', 'running', '--timeout', '20s'])
  process.kill(fleet.info.pids.coordinator, 'SIGKILL')
  await fleet.repair(2)
  await child.ended
  expect(child.exitCode).toBe(9)
})

test('a status that is read writes nothing: the run’s record is the same before and after [U-11 R-11 +U5 +R2]', async () => {
  const run = await launch('still', ['true'])
  await fleet.troupe(['wait', run])
  await fleet.troupe(['logs', run, '-f'])
  const first = await fleet.json(['status', run])
  for (const argv of [
    ['ps', '--all'],
    ['logs', run],
    ['events', run],
    ['explain', run],
  ])
    await fleet.troupe(argv)
  expect(await fleet.json(['status', run])).toEqual(first)
  expect((await fleet.json(['ps'])).map((r: { run: string }) => r.run)).not.toContain(run)
})

test('two launches of one document at the same moment are two runs; with one key they are one [K-05 FC-8 +K7 +U6]', async () => {
  const both = await Promise.all([launch('same', ['true']), launch('same', ['true'])])
  expect(new Set(both).size).toBe(2)
  const keyed = await Promise.all(
    [0, 1].map(() =>
      fleet.troupe(['launch', '-q', '-f', '-', '--key', 'one-key'], { input: task('same', ['true']) }),
    ),
  )
  expect(new Set(keyed.map((ran) => ran.stdout)).size).toBe(1)
})

test('completion knows the runs that are there', async () => {
  const run = await launch('completed', ['true'])
  expect((await fleet.troupe(['__complete', '--', 'status', 'complete'])).stdout).toBe(`${run}\n`)
})

test('a node that is drained takes nothing new, until it is put back', async () => {
  await fleet.troupe(['nodes', 'drain', 'n0'])
  const run = await launch('drained', ['true'], { replicas: 2 })
  await fleet.troupe(['wait', run])
  expect((await fleet.json(['status', run])).workers.map((w: { node: string }) => w.node)).toEqual([
    'n1',
    'n1',
  ])
  expect((await fleet.json(['nodes'])).find((n: { node: string }) => n.node === 'n0').state).toBe('draining')
  await fleet.troupe(['nodes', 'drain', 'n0', '--off'])
  expect((await fleet.json(['nodes'])).find((n: { node: string }) => n.node === 'n0').state).toBe('ready')
})

test('output whose reader goes away ends quietly, and run goes on to the child’s own end [K-25]', async () => {
  const run = await launch('chatty', ['sh', '-c', 'yes | head -n 300000'])
  await fleet.troupe(['wait', run])
  const child = start(['logs', run])
  child.stdout!.once('data', () => child.stdout!.destroy())
  await child.ended
  expect(child.exitCode).toBe(0)
  const running = start(['run', '--', 'sh', '-c', 'for i in $(seq 1 5); do echo $i; sleep 0.1; done; exit 5'])
  running.stdout!.once('data', () => running.stdout!.destroy())
  await running.ended
  expect(running.exitCode).toBe(5)
})
