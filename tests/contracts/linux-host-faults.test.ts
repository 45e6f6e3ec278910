/**
 * What real process trees do to a Linux host: trees that are hard to end, shims that are killed, disks that
 * are full, ranks that die.
 */
import { spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmdirSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { findCgroups } from '../../src/process/cgroup.ts'
import type { LinuxHostOptions } from '../../src/process/linux-host.ts'
import type { ProcessHost } from '../../src/process/process-host.ts'
import { readRecord } from '../../src/process/records.ts'
import { fileOf, forkDirOf } from '../../src/process/spool.ts'
import type { ForkSpec } from '../../src/protocol/resolved.ts'
import { descendantsOf, isAlive, isDead, readAll, readCommand, type ProcStat } from '../../src/system/proc.ts'
import {
  installMisbehave,
  linuxHost,
  listenTo,
  processesOf,
  removeDirectory,
  shims,
  sweepProcesses,
  temporaryDirectory,
} from '../support/linux-host.ts'
import { forkSpec, NO_BINDINGS } from '../support/spec.ts'

const directory = temporaryDirectory()
const misbehave = installMisbehave(directory)
const programs = new URL('../support/programs/', import.meta.url).pathname
let shim: string[]
beforeAll(async () => {
  shim = (await shims(directory)).c
})
afterAll(() => removeDirectory(directory))

let spoolDir: string
let host: ProcessHost
let events: ReturnType<typeof listenTo>
async function open(more: Partial<LinuxHostOptions> = {}) {
  host = linuxHost(spoolDir, shim, more)
  events = listenTo(host)
  return host.recover()
}
beforeEach(() => {
  spoolDir = join(directory, `spool-${process.hrtime.bigint()}`)
})
afterEach(async () => {
  await host.close()
  sweepProcesses(spoolDir)
  for (const { pid } of misbehaving()) process.kill(pid, 'SIGKILL')
  removeDirectory(spoolDir)
})

async function start(spec: ForkSpec) {
  await host.prepare([spec])
  return host.start(spec.forkId, NO_BINDINGS)
}
function recordOf(forkId: string) {
  return readRecord(fileOf.record(forkDirOf(spoolDir, forkId)))
}
function logOf(forkId: string, source: string): string {
  return existsSync(join(host.logDir(forkId), source))
    ? readFileSync(join(host.logDir(forkId), source), 'utf8')
    : ''
}
function living(stats: ProcStat[]): ProcStat[] {
  return stats.filter((stat) => !isDead(stat))
}
/**
 * this file's fixture programs that are alive anywhere: for those that hide from every other look (all but
 * what erases its argv)
 */
function misbehaving(): ProcStat[] {
  return living(readAll()).filter((stat) =>
    readCommand(stat.pid).some((word) => word.startsWith(`${directory}/misbehave`)),
  )
}
async function until(holds: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); await sleep(5))
    if (Date.now() > end) throw new Error(`not within 10 s: ${what}`)
}
/** how many processes each program has when it is complete, and what it says then */
const SIZES = {
  'ignore-term': 1,
  'double-fork': 2,
  setsid: 2,
  family: 5,
  setproctitle: 1,
  'no-environment': 2,
  refork: 2,
  'refork-setsid': 2,
} as const
const COMPLETE: Record<keyof typeof SIZES, RegExp> = {
  'ignore-term': /ready/,
  'double-fork': /daemon/,
  setsid: /child/,
  family: /(child.*\n|daemon.*\n){4}/,
  setproctitle: /ready/,
  'no-environment': /ready/,
  refork: /ready/,
  'refork-setsid': /ready/,
}
async function startAll(name: keyof typeof SIZES): Promise<{ spec: ForkSpec; members: ProcStat[] }> {
  const spec = forkSpec(misbehave(name))
  await start(spec)
  const members = () => living(descendantsOf(recordOf(spec.forkId).shim!.pid))
  await until(
    () =>
      (name.startsWith('refork') ? members().length >= 2 : members().length === SIZES[name]) &&
      COMPLETE[name].test(logOf(spec.forkId, 'stdout')),
    `${name} is complete`,
  )
  return { spec, members: members() }
}

test('a set-up that fails is told from a command that fails, with the step, also by an agent that comes after [A-04]', async () => {
  await open()
  const [failed, killed, passed] = [
    forkSpec(['true'], { setup: 'true\nls /no/such/venv', n: 0 }),
    forkSpec(['true'], { setup: 'kill -KILL $$', n: 1 }),
    forkSpec(['sh', '-c', 'exit 2'], { setup: 'true', n: 2 }),
  ]
  const told = {
    [failed.forkId]: { code: 2, signal: null, oom: false, unknown: null, inSetUp: 'ls /no/such/venv' },
    [killed.forkId]: {
      code: null,
      signal: 'SIGKILL',
      oom: expect.toBeOneOf([false, null]) as unknown,
      unknown: null,
      inSetUp: '',
    },
    [passed.forkId]: { code: 2, signal: null, oom: false, unknown: null },
  }
  for (const spec of [failed, killed, passed]) {
    await start(spec)
    expect((await events.next('exited', spec.forkId)).exit).toEqual(told[spec.forkId])
  }
  await host.close()
  for (const { spec, exit } of await open())
    expect({ ...exit, exitedAt: 0 }).toEqual({ ...told[spec.forkId], exitedAt: 0 })
})

test('more forks end than logs are kept of: each release lets the oldest go, also of those that an earlier agent released [A-33]', async () => {
  await open({ logRetainedForksMax: 3 })
  const released = async (n: number): Promise<void> => {
    const spec = forkSpec(['true'], { n })
    await start(spec)
    await events.next('empty', spec.forkId)
    await host.release(spec.forkId)
  }
  const kept = (): string[] =>
    readdirSync(join(spoolDir, 'logs'))
      .map((forkId) => forkId.split('.')[2]!)
      .toSorted()
  for (let n = 0; n < 5; n++) await released(n)
  expect(kept()).toEqual(['2', '3', '4'])
  await host.close()
  await open({ logRetainedForksMax: 3 })
  await released(5)
  expect(kept()).toEqual(['3', '4', '5'])
})

describe('two agents on one machine that have the same GPUs', () => {
  const uuid = (): string => `GPU-${randomUUID()}`
  const gpus = (count: number, more: Partial<ForkSpec> = {}): ForkSpec =>
    forkSpec(['sleep', '600'], {
      resources: { cpus: 0, gpus: count, memoryBytes: 0, ports: 0, share: false },
      ...more,
    })
  const shared = { resources: { cpus: 0, gpus: 1, memoryBytes: 0, ports: 0, share: true } }
  let neighbour: ProcessHost
  let neighbourSpool: string
  const openBoth = async (): Promise<string[]> => {
    const bound = [uuid(), uuid()]
    const agentEnv = { ...(process.env as Record<string, string>), CUDA_VISIBLE_DEVICES: bound.join(',') }
    await open({ agentEnv })
    neighbourSpool = `${spoolDir}-neighbour`
    neighbour = linuxHost(neighbourSpool, shim, { agentEnv })
    await neighbour.recover()
    return bound
  }
  const leased = async (of: ProcessHost, spec: ForkSpec): Promise<string[]> =>
    (await of.prepare([spec]))[0]!.gpus
  const refused = (message: RegExp) =>
    expect.objectContaining({ code: 'GPU_ALLOC', message: expect.stringMatching(message) as string }) as Error
  afterEach(async () => {
    await neighbour.close()
    sweepProcesses(neighbourSpool)
    removeDirectory(neighbourSpool)
  })

  test('neither gives out what the other has given; what one frees the other has at once [A-19 +A7]', async () => {
    const [first, second] = await openBoth()
    expect(await leased(host, gpus(1))).toEqual([first])
    expect(await leased(neighbour, gpus(1))).toEqual([second])
    await expect(
      leased(neighbour, forkSpec(['true'], { ...gpus(1), forkId: forkSpec([], { n: 1 }).forkId })),
    ).rejects.toEqual(
      refused(/1 GPU asked for, 0 of 2 free on this node \(1 leased by other agents of this machine\)/),
    )
    expect(await leased(neighbour, forkSpec(['true'], { ...shared, n: 2 }))).toEqual([first])
    await neighbour.drop(forkSpec([], { n: 2 }).forkId)
    const { forkId } = gpus(1)
    await host.start(forkId, NO_BINDINGS)
    await host.killTree(forkId)
    await events.next('empty', forkId)
    expect(
      await leased(neighbour, forkSpec(['true'], { ...gpus(1), forkId: forkSpec([], { n: 3 }).forkId })),
    ).toEqual([first])
  })

  test('the agent is gone and its worker lives on: its GPU stays leased, until the tree has ended, with an agent or without [A-19 A-27]', async () => {
    const bound = await openBoth()
    const spec = gpus(2)
    await host.prepare([spec])
    await host.start(spec.forkId, NO_BINDINGS)
    const { child } = recordOf(spec.forkId)
    await host.close()
    await expect(leased(neighbour, gpus(1))).rejects.toEqual(refused(/2 leased by other agents/))
    process.kill(child!.pid, 'SIGKILL')
    await until(() => recordOf(spec.forkId).emptyAt !== null, 'the shim says empty')
    expect(await leased(neighbour, gpus(2))).toEqual(bound)
    host = linuxHost(spoolDir, shim)
  })

  test('the shim is killed, not its tree: the agent holds on; an agent that comes after takes hold again [A-19]', async () => {
    const bound = await openBoth()
    const spec = gpus(2)
    await host.prepare([spec])
    await host.start(spec.forkId, NO_BINDINGS)
    process.kill(recordOf(spec.forkId).shim!.pid, 'SIGKILL')
    await events.next('exited', spec.forkId)
    await expect(leased(neighbour, gpus(1))).rejects.toEqual(refused(/2 leased/))
    await host.close()
    await open({
      agentEnv: { ...(process.env as Record<string, string>), CUDA_VISIBLE_DEVICES: bound.join(',') },
    })
    await expect(leased(neighbour, gpus(1))).rejects.toEqual(refused(/2 leased/))
    await host.killTree(spec.forkId)
    await events.next('empty', spec.forkId)
    expect(await leased(neighbour, gpus(2))).toEqual(bound)
  })

  test('a fork was only prepared when its agent died, and another got its GPU meanwhile: it is not started [A-19]', async () => {
    const bound = await openBoth()
    await host.prepare([gpus(1)])
    await host.close()
    expect(await leased(neighbour, gpus(1))).toEqual([bound[0]])
    await open({
      agentEnv: { ...(process.env as Record<string, string>), CUDA_VISIBLE_DEVICES: bound.join(',') },
    })
    await expect(host.start(gpus(1).forkId, NO_BINDINGS)).rejects.toEqual(refused(/leased by another agent/))
  })
})

const ways =
  findCgroups('test') === null
    ? [['without cgroups', false] as const]
    : [['without cgroups', false] as const, ['with a cgroup', true] as const]

test.each([
  ['hangs', 'sleep 3600'],
  ['ends in time', 'true'],
])(
  'a pre-stop call that %s and has put processes into sessions of their own: none of them outlives it [A-07 I3]',
  async (_, last) => {
    await open()
    const left = (): ProcStat[] =>
      living(readAll()).filter((stat) => readCommand(stat.pid).join(' ') === 'sleep 36123')
    const spec = forkSpec(['sleep', '3600'], {
      preStop: {
        kind: 'exec',
        command: ['sh', '-c', `setsid sleep 36123 & (setsid sleep 36123 &); sleep 0.3; ${last}`],
        timeoutMs: 800,
      },
    })
    await start(spec)
    const called = host.preStop(spec.forkId)
    await until(() => left().length === 2, 'both are there')
    await called
    await until(() => left().length === 0, 'both are gone')
    expect(isAlive(recordOf(spec.forkId).child!)).toBe(true)
  },
)

test('an agent that is frozen or dead renews no fence: the shim ends the tree, and the next agent is told by whom [I2 FC-4]', async () => {
  await open()
  const spec = forkSpec(misbehave('family'), {
    fenceAfterMs: 300,
    stop: { signal: 'SIGTERM', graceMs: 0, order: 'parallel' },
  })
  await start(spec)
  const renewing = setInterval(() => host.renewFences(0), 100)
  await sleep(3000)
  clearInterval(renewing)
  expect(recordOf(spec.forkId).exit).toBeNull()
  await host.close()
  await until(() => recordOf(spec.forkId).emptyAt !== null, 'the tree is gone')
  const [found] = await open()
  expect(found).toMatchObject({
    phase: 'gone',
    exit: { signal: 'SIGKILL', fenced: true },
    receipt: { outcome: 'gone' },
  })
})

describe.each(ways)('a tree that is hard to end, %s', (_, cgroups) => {
  test.each(Object.keys(SIZES) as (keyof typeof SIZES)[])(
    '%s: nothing of it is left after kill, and the receipt says so [A-32 A-07 FC-2 +A17]',
    async (name) => {
      await open({ cgroups })
      const { spec, members } = await startAll(name)
      if (name === 'ignore-term') host.signalTree(spec.forkId, 'SIGTERM')
      const began = performance.now()
      await host.killTree(spec.forkId)
      expect(performance.now() - began).toBeLessThan(3000)
      expect((await events.next('empty', spec.forkId)).receipt).toEqual({
        outcome: 'gone',
        survivors: [],
        reason: null,
      })
      expect(members.filter((stat) => isAlive(stat))).toEqual([])
      expect(misbehaving()).toEqual([])
      expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: null, unknown: null })
    },
  )
})

test('the shim and the agent are spared, whatever is killed [A-32]', async () => {
  await open()
  const { spec } = await startAll('family')
  const { shim } = recordOf(spec.forkId)
  host.signalTree(spec.forkId, 'SIGTERM')
  expect(isAlive(shim!)).toBe(true)
  await host.killTree(spec.forkId)
  await events.next('empty', spec.forkId)
  expect(recordOf(spec.forkId).emptyAt).not.toBeNull()
})

test('a signal to the tree arrives once at every process of it', async () => {
  await open()
  const script = `
import os, signal, sys, time
got = []
signal.signal(signal.SIGUSR1, lambda *_: (os.write(1, b"USR1\\n")))
if os.fork() == 0:
    os.setsid()
    os.fork()
os.write(1, b"ready\\n")
while True: time.sleep(3600)
`
  const spec = forkSpec([misbehave()[0]!, '-ISsc', script])
  await start(spec)
  await until(() => logOf(spec.forkId, 'stdout') === 'ready\n'.repeat(3), 'three processes')
  host.signalTree(spec.forkId, 'SIGUSR1')
  await until(() => logOf(spec.forkId, 'stdout').split('USR1').length > 3, 'three arrivals')
  await host.killTree(spec.forkId)
  await events.next('empty', spec.forkId)
  expect(logOf(spec.forkId, 'stdout')).toBe('ready\n'.repeat(3) + 'USR1\n'.repeat(3))
})

describe('the shim is killed', () => {
  const killShim = async (forkId: string): Promise<void> =>
    process.kill(recordOf(forkId).shim!.pid, 'SIGKILL') as unknown as void

  test('the exit is unknown, with the reason, never a guess; the worker runs on until it is ended [A-32 FC-1]', async () => {
    await open({ cgroups: false })
    const spec = forkSpec(['sleep', '3600'])
    const { pid } = await start(spec)
    await killShim(spec.forkId)
    const { exit } = await events.next('exited', spec.forkId)
    expect(exit).toMatchObject({ code: null, signal: null, oom: null })
    expect(exit.unknown).toContain('the shim was killed')
    expect(processesOf(spoolDir, spec.forkId)).toEqual([pid])
  })

  test.each(['family', 'setproctitle', 'ignore-term'] as const)(
    '%s, without a cgroup: what can be found is ended, and the receipt is unverified, with why [A-32 FC-2 +A17]',
    async (name) => {
      await open({ cgroups: false })
      const { spec, members } = await startAll(name)
      await killShim(spec.forkId)
      await events.next('exited', spec.forkId)
      await host.killTree(spec.forkId)
      const { receipt } = await events.next('empty', spec.forkId)
      expect(receipt.outcome).toBe('unverified')
      expect(receipt.reason).toContain('no cgroup')
      expect(members.filter((stat) => isAlive(stat))).toEqual([])
    },
  )

  test.runIf(findCgroups('test') !== null)(
    'with a cgroup even a process without a marker is ended, and the receipt says gone [A-32]',
    async () => {
      await open({ cgroups: true })
      const { spec, members } = await startAll('no-environment')
      await killShim(spec.forkId)
      await events.next('exited', spec.forkId)
      await host.killTree(spec.forkId)
      expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
      expect(members.filter((stat) => isAlive(stat))).toEqual([])
    },
  )

  test('a neighbour that carries no marker is left alone', async () => {
    await open({ cgroups: false })
    const neighbour = spawn('sleep', ['3600'], { stdio: 'ignore' })
    const spec = forkSpec(['sleep', '3600'])
    await start(spec)
    await killShim(spec.forkId)
    await events.next('exited', spec.forkId)
    await host.killTree(spec.forkId)
    await events.next('empty', spec.forkId)
    expect(neighbour.exitCode).toBeNull()
    expect(neighbour.kill('SIGKILL')).toBe(true)
  })

  test('it was killed while the agent was dead: the next agent says the same, and so does the one after', async () => {
    await open({ cgroups: false })
    const spec = forkSpec(['sleep', '3600'])
    await start(spec)
    await host.close()
    await killShim(spec.forkId)
    await until(() => !isAlive(recordOf(spec.forkId).shim!), 'the shim is gone')
    const [first] = await open({ cgroups: false })
    expect(first).toMatchObject({ phase: 'exited', exit: { code: null, signal: null } })
    expect(first!.exit!.unknown).toContain('the shim was killed')
    await host.killTree(spec.forkId)
    const { receipt } = await events.next('empty', spec.forkId)
    await host.close()
    const [second] = await open({ cgroups: false })
    expect(second).toMatchObject({ phase: 'gone', exit: first!.exit, receipt })
  })

  test('before it could write a word: the start is refused, and nothing runs', async () => {
    const stillborn = join(directory, 'stillborn')
    writeFileSync(stillborn, '#!/bin/sh\nmkdir "$1/started"\nkill -KILL $$\n', { mode: 0o755 })
    host = linuxHost(spoolDir, [stillborn])
    events = listenTo(host)
    await host.recover()
    const spec = forkSpec(['sleep', '3600'])
    await host.prepare([spec])
    await expect(host.start(spec.forkId, NO_BINDINGS)).rejects.toMatchObject({ code: 'WORKER_CREATE' })
    expect(await host.cancel(spec.forkId)).toBe(true)
    await host.close()
    const [found] = await open()
    expect(found!.phase).toBe('cancelled')
  })
})

describe('what is told with an exit', () => {
  test('the last 50 lines of stderr, whatever else was written [A-34]', async () => {
    await open()
    const spec = forkSpec([
      'sh',
      '-c',
      'i=0; while [ $i -lt 200 ]; do echo "line $i" >&2; echo out; i=$((i+1)); done; printf "no newline" >&2; exit 4',
    ])
    await start(spec)
    const { stderrTail, exit } = await events.next('exited', spec.forkId)
    expect(exit.code).toBe(4)
    expect(stderrTail).toHaveLength(50)
    expect(stderrTail.at(-1)).toBe('no newline')
    expect(stderrTail[0]).toBe('line 151')
    await events.next('empty', spec.forkId)
  })

  test('a line of 1 MB: its last 16 KiB and no more [A-34 FC-13]', async () => {
    await open()
    const spec = forkSpec(['sh', '-c', 'head -c 1000000 /dev/zero | tr "\\0" x >&2; exit 1'])
    await start(spec)
    const { stderrTail } = await events.next('exited', spec.forkId)
    expect(stderrTail).toEqual(['x'.repeat(16 * 1024)])
    await events.next('empty', spec.forkId)
  })

  test('`> /dev/stderr` in the middle of a log: the lines after it are told [A-34]', async () => {
    await open()
    const spec = forkSpec(misbehave('truncate-stderr'))
    await start(spec)
    expect((await events.next('exited', spec.forkId)).stderrTail).toEqual(['x', 'last'])
    await events.next('empty', spec.forkId)
  })

  test('the exit of the last process of a pipe that a shell masks is the shell’s own: the program is told, not a helper [A-21 +A2]', async () => {
    await open()
    const spec = forkSpec(misbehave('exit', '42'))
    await start(spec)
    expect((await events.next('exited', spec.forkId)).exit.code).toBe(42)
    await events.next('empty', spec.forkId)
  })

  test('a command that is not there: 127, and its name in the last lines [A-21 FC-24]', async () => {
    await open()
    const spec = forkSpec(['no-such-program', 'x'])
    expect((await start(spec)).pid).toBeNull()
    expect(await events.next('exited', spec.forkId)).toMatchObject({
      exit: { code: 127 },
      stderrTail: ['troupe: no-such-program: No such file or directory'],
    })
    await events.next('empty', spec.forkId)
  })
})

describe('ranks of a torchrun worker', () => {
  const torchrun = (command: string[], nproc = 2) =>
    forkSpec(command, {
      kind: 'torchrun',
      nproc,
      env: { PATH: `${programs}:${process.env['PATH']}` },
      torchrun: { nnodes: '1', nodeRank: 0, nproc, hostsRendezvous: true },
    })
  const startRanks = async (spec: ForkSpec) => {
    const [prepared] = await host.prepare([spec])
    return host.start(spec.forkId, {
      roles: {},
      rendezvous: { host: '127.0.0.1', port: prepared!.rendezvousPort! },
    })
  }
  const bothRun = (forkId: string) =>
    events.next(
      'ranks',
      forkId,
      ({ ranks }) => ranks.length === 2 && ranks.every((rank) => rank.pid !== null),
    )

  test('each has its own pid and log sources, and its exit is exact though torchrun says 1 [A-34 FC-1 +R3]', async () => {
    await open()
    const spec = torchrun([
      'sh',
      '-c',
      'echo "I am $RANK"; [ $RANK = 11 ] && { sleep 0.3; echo "rank 11 fails" >&2; exit 7; }; exec sleep 3600',
    ])
    await startRanks(spec)
    const { ranks } = await bothRun(spec.forkId)
    expect(ranks.map(({ rank, localRank, state }) => [rank, localRank, state])).toEqual([
      [10, 0, 'running'],
      [11, 1, 'running'],
    ])
    const exited = await events.next('exited', spec.forkId)
    expect(exited.exit).toMatchObject({ code: 1, signal: null })
    expect(exited.stderrTail).toEqual(['rank 11 fails'])
    await events.next('empty', spec.forkId)
    const last = events.told.findLast((event) => event.what === 'ranks')!
    expect(last.ranks.map(({ rank, exit }) => [rank, exit?.code, exit?.signal])).toEqual([
      [10, null, 'SIGTERM'],
      [11, 7, null],
    ])
    expect([logOf(spec.forkId, 'r10-stdout'), logOf(spec.forkId, 'r11-stdout')]).toEqual([
      'I am 10\n',
      'I am 11\n',
    ])
  })

  test.each(['SIGKILL', 'SIGSEGV'])(
    'one is ended by %s: told as that, before the worker’s own exit [FC-1]',
    async (signal) => {
      await open()
      const spec = torchrun(['sleep', '3600'])
      await startRanks(spec)
      await bothRun(spec.forkId)
      expect(host.signalOne(spec.forkId, signal, 11)).toBe(true)
      await events.next('exited', spec.forkId)
      const told = events.of(spec.forkId)
      const first = told.findIndex(
        (event) =>
          event.what === 'ranks' &&
          event.ranks.some(({ rank, exit }) => rank === 11 && exit?.signal === signal),
      )
      expect(first).toBeGreaterThanOrEqual(0)
      expect(first).toBeLessThan(told.findIndex((event) => event.what === 'exited'))
      await events.next('empty', spec.forkId)
    },
  )

  test('torchrun itself is killed: its ranks, in sessions of their own, are ended with a receipt [A-32 +A17]', async () => {
    await open()
    const spec = torchrun(['sleep', '3600'])
    const { pid } = await startRanks(spec)
    const { ranks } = await bothRun(spec.forkId)
    process.kill(pid!, 'SIGKILL')
    expect((await events.next('exited', spec.forkId)).exit.signal).toBe('SIGKILL')
    for (const rank of ranks) expect(process.kill(rank.pid!, 0)).toBe(true)
    await host.killTree(spec.forkId)
    expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
    expect(processesOf(spoolDir, spec.forkId)).toEqual([])
  })

  test('the whole tree is killed: every rank’s end is recorded as SIGKILL, not lost with its shim', async () => {
    await open()
    const spec = torchrun(['sh', '-c', 'trap "" TERM; exec sleep 3600'])
    await startRanks(spec)
    await bothRun(spec.forkId)
    await host.killTree(spec.forkId)
    await events.next('empty', spec.forkId)
    const last = events.told.findLast((event) => event.what === 'ranks')!
    expect(last.ranks.map(({ exit }) => exit)).toEqual(
      [0, 1].map(() => expect.objectContaining({ signal: 'SIGKILL', unknown: null })),
    )
  })

  test('the agent dies: the next one knows the ranks as they are', async () => {
    await open()
    const spec = torchrun(['sleep', '3600'])
    await startRanks(spec)
    const { ranks } = await bothRun(spec.forkId)
    await host.close()
    const [found] = await open()
    expect(found!.ranks).toEqual(ranks)
  })
})

test('a leased port can be bound by the program at once, and is not given away while it runs [A-21]', async () => {
  await open({ portRange: [20_000, 20_001] })
  const resources = { cpus: 0, gpus: 0, memoryBytes: 0, ports: 1, share: false }
  const spec = forkSpec(misbehave('listen'), {
    resources,
    ready: { kind: 'tcp', port: 0, timeoutMs: 5000, intervalMs: 100, attemptTimeoutMs: 1000, failures: 3 },
  })
  const [prepared] = await host.prepare([spec])
  await host.start(spec.forkId, NO_BINDINGS)
  expect(await events.next('probe', spec.forkId, (event) => event.ready)).toMatchObject({
    ready: true,
    reason: null,
  })
  const socket = connect(prepared!.ports[0]!, '127.0.0.1')
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  socket.destroy()
  const [other] = await host.prepare([forkSpec(['true'], { n: 1, resources })])
  expect(other!.ports).not.toEqual(prepared!.ports)
  await expect(host.prepare([forkSpec(['true'], { n: 2, resources })])).rejects.toMatchObject({
    code: 'PORT_ALLOC',
  })
  await host.killTree(spec.forkId)
  await events.next('empty', spec.forkId)
})

test('the pre-stop call runs beside the worker, with its environment and templates, and never longer than its time [A-07]', async () => {
  await open()
  const out = join(directory, 'pre-stop')
  const spec = forkSpec(['sleep', '3600'], {
    env: { GREETING: 'bye' },
    preStop: {
      kind: 'exec',
      command: ['sh', '-c', `echo "$GREETING $TROUPE_FORK_ID $1" > ${out}; sleep 3600`, 'sh', '${{ index }}'],
      timeoutMs: 500,
    },
  })
  await start(spec)
  const began = performance.now()
  await host.preStop(spec.forkId)
  expect(performance.now() - began).toBeLessThan(2000)
  expect(readFileSync(out, 'utf8')).toBe(`bye ${spec.forkId} 0\n`)
  expect(processesOf(spoolDir, spec.forkId)).toHaveLength(1)
})

describe('a process that SIGKILL does not end', () => {
  /** the v1 freezer holds a process where no signal gets to it, like a driver or a dead NFS server */
  const FREEZER = '/sys/fs/cgroup/freezer'
  const canFreeze = ((): boolean => {
    try {
      accessSync(FREEZER, constants.W_OK)
      return existsSync(join(FREEZER, 'cgroup.procs'))
    } catch {
      return false
    }
  })()

  test.runIf(canFreeze)(
    'is told as a survivor by name, keeps its leases while it is there, and loses them when it ends [A-32]',
    async () => {
      await open({ cgroups: false, killBudgetMs: 300 })
      const { cpus } = await host.capacity()
      const resources = { cpus, gpus: 0, memoryBytes: 0, ports: 0, share: false }
      const [spec, next] = [
        forkSpec(['sleep', '3600'], { n: 0, resources }),
        forkSpec(['true'], { n: 1, resources }),
      ]
      const { pid } = await start(spec)
      const freezer = join(FREEZER, `troupe-test-${process.pid}`)
      mkdirSync(freezer)
      try {
        writeFileSync(join(freezer, 'cgroup.procs'), String(pid))
        writeFileSync(join(freezer, 'freezer.state'), 'FROZEN')
        await host.killTree(spec.forkId)
        expect((await events.next('empty', spec.forkId)).receipt).toEqual({
          outcome: 'survivors',
          survivors: [{ pid, command: 'sleep 3600' }],
          reason: null,
        })
        await expect(host.prepare([next])).rejects.toMatchObject({ code: 'GPU_ALLOC' })
        writeFileSync(join(freezer, 'freezer.state'), 'THAWED')
        await until(() => recordOf(spec.forkId).emptyAt !== null, 'the survivor is gone')
        expect((await events.next('exited', spec.forkId)).exit.signal).toBe('SIGKILL')
        await host.prepare([next])
        expect(events.told.filter((event) => event.what === 'empty')).toHaveLength(1)
      } finally {
        writeFileSync(join(freezer, 'freezer.state'), 'THAWED')
        await until(() => readFileSync(join(freezer, 'cgroup.procs'), 'utf8') === '', 'the freezer is empty')
        rmdirSync(freezer)
      }
    },
  )
})

describe('the disk under the spool is full', () => {
  /** a 2 MB tmpfs of a mount namespace, reached through /proc: no root needed */
  const smallDisk = async () => {
    const mountPoint = temporaryDirectory()
    const keeper = spawn(
      'unshare',
      [
        ...(process.getuid!() === 0 ? [] : ['--user', '--map-root-user']),
        '--mount',
        'sh',
        '-c',
        `mount -t tmpfs -o size=2m tmpfs ${mountPoint} && echo mounted && exec sleep 3600`,
      ],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    )
    await new Promise((resolve, reject) => {
      keeper.stdout.once('data', resolve)
      keeper.once('exit', () => reject(new Error('no mount namespace can be made here')))
    })
    return {
      path: `/proc/${keeper.pid}/root${mountPoint}`,
      end() {
        keeper.kill('SIGKILL')
        removeDirectory(mountPoint)
      },
    }
  }
  let disk: Awaited<ReturnType<typeof smallDisk>>
  beforeEach(async () => {
    disk = await smallDisk()
    spoolDir = join(disk.path, 'spool')
  })
  afterEach(async () => {
    await host.close()
    sweepProcesses(spoolDir)
    disk.end()
  })

  test('a worker that fills it gets ENOSPC, and its exit is still recorded, told and recovered', async () => {
    await open()
    const spec = forkSpec(misbehave('fill-disk'))
    await host.prepare([spec])
    expect(statSync(fileOf.record(forkDirOf(spoolDir, spec.forkId))).size).toBe(512)
    await host.start(spec.forkId, NO_BINDINGS)
    expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: 28, signal: null })
    expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
    expect(() => writeFileSync(join(spoolDir, 'more'), 'x'.repeat(65_536))).toThrow('ENOSPC')
    await host.close()
    const [found] = await open()
    expect(found).toMatchObject({ phase: 'gone', exit: { code: 28 } })
  })

  test('prepare and start are refused with SPOOL, nothing is left of them, and what runs goes on', async () => {
    await open()
    const [runs, prepared] = [
      forkSpec(['sleep', '3600'], { n: 0 }),
      forkSpec(['true'], { n: 1, env: { LARGE: 'x'.repeat(100_000) } }),
    ]
    await start(runs)
    await host.prepare([prepared])
    const filler = forkSpec(misbehave('fill-disk'), { n: 2 })
    await start(filler)
    await events.next('empty', filler.forkId)
    await expect(host.prepare([forkSpec(['true'], { n: 3 })])).rejects.toMatchObject({
      code: 'SPOOL',
      retryable: true,
    })
    expect(readdirSync(join(spoolDir, 'forks'))).not.toContain(forkSpec([], { n: 3 }).forkId)
    await expect(host.start(prepared.forkId, NO_BINDINGS)).rejects.toMatchObject({ code: 'SPOOL' })
    expect(await host.cancel(prepared.forkId)).toBe(true)
    expect(processesOf(spoolDir, runs.forkId)).toHaveLength(1)
    await host.killTree(runs.forkId)
    expect((await events.next('exited', runs.forkId)).exit.signal).toBe('SIGKILL')
    await events.next('empty', runs.forkId)
  })
})

test('a working directory that is not there is refused by name, and the fork can be dropped', async () => {
  await open()
  const spec = forkSpec(['true'], { cwd: '/no/such/place' })
  await host.prepare([spec])
  await expect(host.start(spec.forkId, NO_BINDINGS)).rejects.toMatchObject({
    code: 'WORKER_CONFIG',
    message: expect.stringContaining('/no/such/place'),
  })
  await host.drop(spec.forkId)
  expect(readdirSync(join(spoolDir, 'forks'))).toEqual([])
})

test('a fork id that is a path is refused: nothing is written outside of the spool', async () => {
  await open()
  await expect(host.cancel('../../escaped')).rejects.toMatchObject({ code: 'REQUEST_INVALID' })
  await expect(host.prepare([{ ...forkSpec(['true']), forkId: '../../escaped' }])).rejects.toMatchObject({
    code: 'REQUEST_INVALID',
  })
})

test('after release the logs are still there, and are swept when they are older than the retention', async () => {
  let now = Date.now()
  await open({ logRetentionMs: 1000, clockWall: () => now })
  const spec = forkSpec(['echo', 'kept'])
  await start(spec)
  await events.next('empty', spec.forkId)
  await host.release(spec.forkId)
  expect(logOf(spec.forkId, 'stdout')).toBe('kept\n')
  expect(readdirSync(join(spoolDir, 'forks'))).toEqual([])
  await host.close()
  now += 10_000
  await open({ logRetentionMs: 1000, clockWall: () => now })
  expect(readdirSync(join(spoolDir, 'logs'))).toEqual([])
})

test('health counts the processes of the tree and their memory', async () => {
  await open()
  const { spec } = await startAll('family')
  const { processes, rssBytes } = await host.measure(spec.forkId)
  expect(processes).toBe(5)
  expect(rssBytes).toBeGreaterThan(5 * 1024 * 1024)
})
