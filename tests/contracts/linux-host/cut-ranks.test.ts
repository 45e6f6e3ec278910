/** Ranks that end together with their own shims: torchrun is named only where nothing else can have been. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findCgroups } from '../../../src/process/cgroup.ts'
import { readRecord } from '../../../src/process/records.ts'
import { fileOf, forkDirOf } from '../../../src/process/spool.ts'
import type { ForkSpec } from '../../../src/protocol/launch/resolved.ts'
import type { RankReport } from '../../../src/protocol/shapes.ts'
import {
  directory,
  events,
  host,
  logOf,
  open,
  programs,
  spoolDir,
  until,
} from '../../support/linux-host-suite.ts'
import { forkSpec } from '../../support/spec.ts'

const DEAF = 'trap "" TERM; echo deaf; while :; do sleep 3600; done'
const BY_TORCHRUN = {
  code: null,
  signal: 'SIGKILL',
  oom: false,
  unknown: null,
  killedBy: { by: 'launcher', name: 'torchrun', afterMs: 1000 },
}

describe('a rank is killed together with its shim', () => {
  /** @param seconds  that torchrun gives its ranks; a prefix has the last word, as a set-up would */
  const ranks = (script: string, seconds: number): ForkSpec =>
    forkSpec(['sh', '-c', script], {
      kind: 'torchrun',
      nproc: 2,
      prefix: ['env', `TORCH_ELASTIC_SHUTDOWN_TIMEOUT=${seconds}`],
      env: { PATH: `${programs}:${process.env['PATH']}` },
      torchrun: { nnodes: '1', nodeRank: 0, nproc: 2, hostsRendezvous: true },
    })
  const start = async (
    spec: ForkSpec,
    deaf = ['r10', 'r11'],
    options: Parameters<typeof open>[0] = {},
  ): Promise<void> => {
    await open(options)
    const [prepared] = await host.prepare([spec])
    const rendezvous = { host: '127.0.0.1', port: prepared!.rendezvousPort! }
    await host.start(spec.forkId, { roles: {}, rendezvous })
    for (const source of deaf)
      await until(() => logOf(spec.forkId, `${source}-stdout`) === 'deaf\n', `${source} is deaf`)
  }
  const shimOf = ({ forkId }: ForkSpec, name = '0.0') =>
    readRecord(join(fileOf.ranks(forkDirOf(spoolDir, forkId)), name))
  const told = ({ forkId }: ForkSpec, rank: number) =>
    events
      .next('ranks', forkId, ({ ranks: all }) => all.some((one) => one.rank === rank && one.exit !== null))
      .then(({ ranks: all }) => all.find((one) => one.rank === rank)!.exit)
  const last = (): RankReport[] => events.told.findLast((event) => event.what === 'ranks')!.ranks

  test('stopped, and deaf for longer than torchrun waits: killed by SIGKILL, by torchrun; the next agent says the same', async () => {
    const spec = ranks(DEAF, 1)
    await start(spec)
    host.signalRoot(spec.forkId, 'SIGTERM')
    expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: 1 })
    await events.next('empty', spec.forkId)
    expect(last().map(({ exit }) => exit)).toEqual([BY_TORCHRUN, BY_TORCHRUN])
    await host.close()
    const [found] = await open()
    expect(found!.ranks.map(({ exit }) => exit)).toEqual([BY_TORCHRUN, BY_TORCHRUN])
  })

  test('its peer fails, and it does not listen: it was torchrun, and the last words are the peer’s', async () => {
    const go = join(directory, 'go-peer')
    const peer = `while [ ! -e '${go}' ]; do sleep 0.05; done; echo "rank 11 fails" >&2; exit 7`
    const spec = ranks(`if [ $RANK = 11 ]; then ${peer}; fi; ${DEAF}`, 1)
    await start(spec, ['r10'])
    writeFileSync(go, '')
    expect((await events.next('exited', spec.forkId)).stderrTail).toEqual(['rank 11 fails'])
    await events.next('empty', spec.forkId)
    expect(last().map(({ exit }) => exit)).toEqual([
      BY_TORCHRUN,
      expect.objectContaining({ code: 7, killedBy: null }),
    ])
  })

  test('somebody kills the shim by hand: how the rank ended is unknown, with the reason', async () => {
    const spec = ranks(DEAF, 1)
    await start(spec)
    process.kill(shimOf(spec).shim!.pid, 'SIGKILL')
    const exit = await told(spec, 10)
    expect(exit).toMatchObject({ code: null, signal: null, killedBy: null })
    expect(exit!.unknown).toContain('the shim of the rank was killed')
    await host.killTree(spec.forkId)
  })

  test('somebody kills the shim by hand while torchrun still waits: it was not torchrun', async () => {
    const spec = ranks(DEAF, 25)
    await start(spec)
    host.signalRoot(spec.forkId, 'SIGTERM')
    await until(() => shimOf(spec).told !== null, 'torchrun told the rank to end')
    process.kill(-shimOf(spec).shim!.pid, 'SIGKILL')
    expect(await told(spec, 10)).toMatchObject({
      signal: null,
      killedBy: null,
      unknown: expect.stringContaining('shim'),
    })
    await host.killTree(spec.forkId)
  })

  test.runIf(findCgroups('test') !== null)(
    'the whole cgroup is killed by us, after torchrun told its ranks to end: SIGKILL, and not by torchrun',
    async () => {
      const spec = ranks(DEAF, 25)
      await start(spec, ['r10', 'r11'], { cgroups: true })
      host.signalRoot(spec.forkId, 'SIGTERM')
      for (const name of ['0.0', '1.0'])
        await until(() => shimOf(spec, name).told !== null, `torchrun told rank ${name} to end`)
      await host.killTree(spec.forkId)
      await events.next('empty', spec.forkId)
      for (const { exit } of last())
        expect(exit).toMatchObject({ signal: 'SIGKILL', unknown: null, killedBy: null })
    },
  )
})
