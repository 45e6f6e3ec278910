/**
 * The real nats-server: found, judged, started, stopped, reloaded; what our configuration grants and what it
 * does not.
 */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DISCONNECT_ADVISORY } from '../../src/protocol/permissions.ts'
import { pickBusPort } from '../../src/fleet/bus-port.ts'
import { findNatsServer, startNatsServer } from '../../src/transport/nats-server.ts'
import { serverConfigText } from '../../src/transport/server-config.ts'
import { announceService } from '../../src/transport/service-discovery.ts'
import { ensureStreams, streamConfigOf } from '../../src/transport/streams.ts'
import { startTestServer } from '../support/test-server.ts'

describe('finding a server', () => {
  let dir: string
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'troupe-test-find-'))
  })
  afterAll(() => rm(dir, { recursive: true, force: true }))
  const fake = async (path: string, version: string): Promise<string> => {
    await mkdir(dirname(path), { recursive: true })
    await writeFile(path, `#!/bin/sh\necho 'nats-server: v${version}'\n`)
    await chmod(path, 0o755)
    return path
  }

  test('one on PATH below the floor: a current one in the cache is taken', async () => {
    await fake(join(dir, 'old/nats-server'), '2.12.3')
    const path = await fake(join(dir, 'cache/nats-server/2.15.2/nats-server'), '2.15.2')
    await fake(join(dir, 'cache/nats-server/2.9.9/nats-server'), '2.9.9')
    expect(
      await findNatsServer({ env: { PATH: `${join(dir, 'old')}:/bin:/usr/bin` }, cache: join(dir, 'cache') }),
    ).toEqual({ path, version: '2.15.2', warning: null })
  })

  test('only one below the floor: it runs and is announced', async () => {
    await fake(join(dir, 'old/nats-server'), '2.12.3')
    expect(
      await findNatsServer({ env: { PATH: `${join(dir, 'old')}:/bin:/usr/bin` }, cache: join(dir, 'none') }),
    ).toMatchObject({ version: '2.12.3', warning: expect.stringContaining('security') })
  })

  test('only one below 2.12: refused, with its version; none at all: what to type', async () => {
    await fake(join(dir, 'ancient/nats-server'), '2.11.9')
    await expect(
      findNatsServer({ env: { PATH: `${join(dir, 'ancient')}:/bin:/usr/bin` }, cache: join(dir, 'none') }),
    ).rejects.toMatchObject({ code: 'SETUP', message: expect.stringContaining('2.11.9') })
    await expect(
      findNatsServer({ env: { PATH: join(dir, 'none') }, cache: join(dir, 'none') }),
    ).rejects.toMatchObject({ code: 'SETUP', hint: expect.stringContaining('npm start') })
    await expect(
      findNatsServer({ env: { PATH: '', TROUPE_NATS_SERVER: '/bin/true' }, cache: dir }),
    ).rejects.toMatchObject({ code: 'SETUP', message: expect.stringContaining('/bin/true') })
  })
})

describe('a server of ours', () => {
  test('a configuration that it refuses: SETUP with its own words', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'troupe-test-conf-'))
    try {
      await writeFile(join(dir, 'nats.conf'), 'listen: "127.0.0.1:1"\nnonsense: [')
      const { path: binary } = await findNatsServer({
        env: process.env,
        cache: join(process.env['HOME'] ?? '', '.cache/troupe'),
      })
      await expect(
        startNatsServer({
          binary,
          configFile: join(dir, 'nats.conf'),
          host: '127.0.0.1',
          port: await pickBusPort(),
          serverName: 'x',
          logFile: join(dir, 'log'),
          detached: false,
        }),
      ).rejects.toMatchObject({
        code: 'SETUP',
        message: expect.stringMatching(/parse|line \d|unexpected|EOF/i),
      })
    } finally {
      await rm(dir, { recursive: true, force: true })
    }
  })

  test('it listens on loopback alone, and stops with exit 0', async () => {
    const server = await startTestServer()
    const listening = await listeners(server.running.pid)
    await server.running.stop()
    expect(await server.running.exited).toEqual({ code: 0, signal: null })
    expect(listening).toEqual([
      `0100007F:${Number(new URL(server.url).port).toString(16).toUpperCase().padStart(4, '0')}`,
    ])
    await server.close()
  })

  test('the end of a connection is told to the coordinator within 200 ms, with its name and key', async () => {
    const server = await startTestServer({
      coordinator: { publish: ['x'], subscribe: [DISCONNECT_ADVISORY] },
      agent: { publish: [], subscribe: [], account: 'agents' },
    })
    try {
      const coordinator = await server.connect('coordinator', 'coordinator')
      const agent = await server.connect('agent n0', 'agent')
      const told = new Promise<Record<string, any>>((resolve) =>
        coordinator.subscribe(DISCONNECT_ADVISORY, (m) =>
          resolve(JSON.parse(new TextDecoder().decode(m.body))),
        ),
      )
      await coordinator.flush()
      const closed = performance.now()
      await agent.close()
      const advisory = await told
      expect(performance.now() - closed).toBeLessThan(200)
      expect(advisory['client']).toMatchObject({
        name: 'agent n0',
        acc: expect.stringMatching(/^A[A-Z2-7]{55}$/),
      })
    } finally {
      await server.close()
    }
  })

  test('an announced service is found by name, version and id', async () => {
    const server = await startTestServer()
    try {
      const bus = await server.connect('a')
      announceService(bus, { name: 'troupe-agent', version: '0.1.0', id: 'X1', description: 'a node agent' })
      await bus.flush()
      const answers = await bus.gather('$SRV.INFO.troupe-agent', new Uint8Array(0), {
        timeoutMs: 2000,
        count: 1,
      })
      expect(answers.map((m) => JSON.parse(new TextDecoder().decode(m.body)))).toEqual([
        {
          type: 'io.nats.micro.v1.info_response',
          name: 'troupe-agent',
          id: 'X1',
          version: '0.1.0',
          metadata: {},
          description: 'a node agent',
          endpoints: [],
        },
      ])
    } finally {
      await server.close()
    }
  })

  test('the streams of a fleet: made once; only STATE and LAUNCH are synced', async () => {
    const server = await startTestServer()
    try {
      const bus = await server.connect('a')
      const first = await ensureStreams(bus, 'main')
      const second = await ensureStreams(bus, 'main')
      expect([
        Object.values(first).every((s) => s.created),
        Object.values(second).some((s) => s.created),
      ]).toEqual([true, false])
      const info = async (name: 'STATE' | 'LOG' | 'LAUNCH') => {
        const answer = await bus.request(
          `$JS.API.STREAM.INFO.${streamConfigOf('main', name).name}`,
          new Uint8Array(0),
          { timeoutMs: 2000 },
        )
        return (JSON.parse(new TextDecoder().decode(answer.body)) as { config: Record<string, unknown> })
          .config
      }
      expect(await info('STATE')).not.toHaveProperty('persist_mode')
      expect(await info('LAUNCH')).toMatchObject({ retention: 'workqueue', discard: 'new' })
      expect(await info('LOG')).toMatchObject({ storage: 'file', persist_mode: 'async', max_bytes: 2 ** 31 })
    } finally {
      await server.close()
    }
  })

  test('nats/standalone.conf is the text that is written', async () => {
    await expect(
      serverConfigText({
        host: '127.0.0.1',
        port: 14222,
        serverName: 'troupe-main',
        storeDir: '/var/tmp/troupe-1000/main/bus/store',
        pidFile: '/var/tmp/troupe-1000/main/bus/nats.pid',
        accountsDir: '/var/tmp/troupe-1000/main/bus/accounts',
        identity: {
          operator: 'JWT of the operator',
          systemAccount: 'AS…',
          accounts: {
            'AS…': 'JWT of the system account',
            'AC…': 'JWT of the account of the coordinator',
            'AA…': 'JWT of the account of the agents',
            'AP…': 'JWT of the account of the people',
          },
        },
      }),
    ).toMatchFileSnapshot('../../nats/standalone.conf')
  })
})

/** Local addresses that a process listens on, as /proc shows them. */
async function listeners(pid: number): Promise<string[]> {
  const { readdir, readlink } = await import('node:fs/promises')
  const inodes = new Set<string>()
  for (const fd of await readdir(`/proc/${pid}/fd`))
    inodes.add(/socket:\[(\d+)\]/.exec(await readlink(`/proc/${pid}/fd/${fd}`).catch(() => ''))?.[1] ?? '')
  const lines = (
    await Promise.all(
      ['tcp', 'tcp6'].map((kind) => readFile(`/proc/${pid}/net/${kind}`, 'utf8').catch(() => '')),
    )
  )
    .join('\n')
    .split('\n')
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((f) => f[3] === '0A' && inodes.has(f[9] ?? ''))
    .map((f) => f[1]!)
}
