/** Workers that lay hands on what is ours, through the whole: command line, agent, coordinator. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { fakeGpus } from '../support/fake-gpus.ts'
import {
  fleetEnv,
  makeHome,
  python,
  run,
  startFleet,
  task,
  TROUPE,
  until,
  type Fleet,
} from '../support/fleet.ts'

function document(name: string, script: string, role: object = {}): string {
  return task(name, ['sh', '-c', script], role)
}

describe('a fleet', () => {
  let fleet: Fleet
  beforeAll(async () => {
    fleet = await startFleet()
  })
  afterAll(() => fleet?.end())
  const launch = (name: string, script: string, role: object = {}) =>
    fleet.troupe(['launch', '-q', '-f', '-'], { input: document(name, script, role) })

  test('a worker removes its directory: the run ends with its code, and one that lives on can be killed', async () => {
    await launch('gone', 'rm -rf "$TROUPE_FORK_DIR"; sleep 1; exit 5')
    expect((await fleet.troupe(['wait', 'gone', '--timeout', '30s'])).code).toBe(5)
    await launch('stays', 'rm -rf "$TROUPE_FORK_DIR"; exec sleep 3600')
    await fleet.troupe(['wait', 'stays', '--for', 'running', '--timeout', '30s'])
    expect(await fleet.json(['kill', 'stays', '--json'])).toMatchObject({ receipts: [{ outcome: 'gone' }] })
  })

  test('a worker stopped its shim: kill ends with a receipt', async () => {
    await launch('stopped', 'kill -STOP $PPID; exec sleep 3600')
    await fleet.troupe(['wait', 'stopped', '--for', 'running', '--timeout', '30s'])
    expect(await fleet.json(['kill', 'stopped', '--json'])).toMatchObject({ receipts: [{ outcome: 'gone' }] })
  })

  test('a worker removes its log directory: what it wrote is there, or the gap is named and --raw fails', async () => {
    const remove = 'f=$(readlink /proc/$$/fd/1); echo one; sleep 1; rm -rf $(dirname $f)'
    await launch('rmlog', `${remove}; echo two; sleep 1; echo three; exit 4`)
    expect((await fleet.troupe(['wait', 'rmlog', '--timeout', '30s'])).code).toBe(4)
    const raw = await fleet.troupe(['logs', 'rmlog/main/0', '--raw', '--stream', 'stdout'])
    expect(raw).toMatchObject({ code: 0, stdout: 'one\ntwo\nthree\n' })
    await launch('atonce', 'rm -rf $(dirname $(readlink /proc/$$/fd/1)); echo lost; exit 4')
    expect((await fleet.troupe(['wait', 'atonce', '--timeout', '30s'])).code).toBe(4)
    const lost = await fleet.troupe(['logs', 'atonce/main/0', '--raw', '--stream', 'stdout'])
    if (lost.code === 0) expect(lost.stdout).toBe('lost\n')
    else {
      expect(lost).toMatchObject({ code: 1, stdout: '' })
      expect(lost.stderr).toMatch(/gap in stdout, from byte 0 on: its file was removed/)
    }
  })

  test.runIf(process.getuid!() === 0)(
    'another user has bound every name of a lease: a launch with ports starts',
    async () => {
      const squat = `
import os, socket, sys, time
os.setuid(65534)
held = []
for p in range(10000, 32768):
    if p == 21384 and os.fork() == 0: held = []
    try:
        s = socket.socket(socket.AF_UNIX); s.bind(('\\0troupe-port-%d' % p).ljust(108, '\\0')); held.append(s)
    except OSError: pass
print(len(held), flush=True); time.sleep(60)`
      const stranger = spawn('sh', ['-c', 'ulimit -n "$(ulimit -Hn)"; exec "$0" -c "$1"', python, squat], {
        stdio: ['ignore', 'pipe', 'inherit'],
        detached: true,
      })
      try {
        await once(stranger.stdout, 'data')
        await launch('ports', 'test $TROUPE_PORT_0 -gt 0', { resources: { ports: 1 } })
        expect((await fleet.troupe(['wait', 'ports', '--timeout', '30s'])).code).toBe(0)
      } finally {
        process.kill(-stranger.pid!, 'SIGKILL')
      }
    },
  )
})

describe('a fleet with 64 descriptors for each part', () => {
  let home: string
  const troupe = (args: string[], input = '') =>
    run(TROUPE, args, { env: fleetEnv(home), input, timeoutMs: 120_000 })
  afterEach(async () => {
    await troupe(['down'])
    await rm(home, { recursive: true, force: true })
  })

  test('forty workers run to their end; what can never be held is refused with the numbers, and the agent serves on', async () => {
    home = await makeHome()
    const up = await run('sh', ['-c', 'ulimit -n 64; exec "$0" up --detach', TROUPE], { env: fleetEnv(home) })
    expect(up.code, up.stderr).toBe(0)
    const input = document('forty', 'echo out; sleep 2', { replicas: 40 })
    expect(await troupe(['run', '-f', '-'], input)).toMatchObject({ code: 0 })
    const many = document('ports', 'sleep 2', { replicas: 40, resources: { ports: 1 } })
    const refused = await troupe(['run', '-f', '-'], many)
    expect(refused.code).toBe(125)
    expect(refused.stderr).toMatch(/of 64 are free|EMFILE/)
    expect(await troupe(['run', '--', 'true'])).toMatchObject({ code: 0 })
    expect((await troupe(['nodes'])).stdout).toMatch(/n0\s+ready/)
  }, 240_000)
})

describe.runIf(process.getuid!() === 0)('a fleet whose GPUs another user has', () => {
  let fleet: Fleet
  let bin: string
  beforeAll(async () => {
    bin = await makeHome()
    const PATH = `${fakeGpus('plain', bin)}:${process.env['PATH']}`
    fleet = await startFleet({ env: { PATH, CUDA_VISIBLE_DEVICES: undefined } })
  })
  afterAll(async () => {
    await fleet?.end()
    await rm(bin, { recursive: true, force: true })
  })

  test('a worker waits for one, and `explain` names the user; when they are given back it starts', async () => {
    const listed = (await run('nvidia-smi', ['-L'], { env: fleet.env })).stdout
    const names = [...listed.matchAll(/UUID: (GPU-[^)]+)/g)].map(([, uuid]) => `troupe-gpu-${uuid}`)
    expect(names.length).toBe(8)
    const hold = `
import os, socket, sys, time
os.setuid(65534)
held = [socket.socket(socket.AF_UNIX) for _ in sys.argv[1:]]
for s, name in zip(held, sys.argv[1:]): s.bind(('\\0' + name).ljust(108, '\\0')); s.listen()
print('held', flush=True); time.sleep(120)`
    const other = spawn(python, ['-c', hold, ...names], { stdio: ['ignore', 'pipe', 'inherit'] })
    try {
      await once(other.stdout, 'data')
      const input = document('waits', 'echo $CUDA_VISIBLE_DEVICES', { resources: { gpus: 1 } })
      expect((await fleet.troupe(['launch', '-q', '-f', '-'], { input })).code).toBe(0)
      await until('the user is named', async () =>
        /nobody/.test((await fleet.troupe(['explain', 'waits'])).stdout),
      )
    } finally {
      other.kill('SIGKILL')
    }
    expect((await fleet.troupe(['wait', 'waits', '--timeout', '60s'])).code).toBe(0)
  })
})
