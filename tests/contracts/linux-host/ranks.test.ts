/** Ranks of a torchrun worker: each has a pid, logs and an exit of its own. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { ForkSpec } from '../../../src/protocol/launch/resolved.ts'
import { processesOf } from '../../support/linux-host.ts'
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
    const go = join(directory, 'go-rank-11')
    const spec = torchrun([
      'sh',
      '-c',
      `echo "I am $RANK"; [ $RANK = 11 ] || exec sleep 3600
       while [ ! -e '${go}' ]; do sleep 0.05; done; echo "rank 11 fails" >&2; exit 7`,
    ])
    await startRanks(spec)
    const { ranks } = await bothRun(spec.forkId)
    expect(ranks.map(({ rank, localRank, state }) => [rank, localRank, state])).toEqual([
      [10, 0, 'running'],
      [11, 1, 'running'],
    ])
    writeFileSync(go, '')
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
      expect(host.signalOne(spec.forkId, signal, 11, true)).toEqual({ reached: 1, fatal: [] })
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

  test.each([
    ['lines as another system ends them', '#!/bin/sh\r\necho hi\r\n', '/bin/sh\\r'],
    ['an interpreter that is not there', '#!/no/such/interp\n', '/no/such/interp'],
  ])('a rank’s script with %s: the last line names its interpreter', async (_, text, interpreter) => {
    await open()
    const file = join(directory, 'rank.sh')
    writeFileSync(file, text, { mode: 0o755 })
    const spec = torchrun([file])
    await startRanks(spec)
    const { stderrTail } = await events.next('exited', spec.forkId)
    expect(stderrTail.at(-1)).toBe(`'${interpreter}' (first line of ${file}) is not there`)
    await events.next('empty', spec.forkId)
  })

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
    const spec = torchrun(['sh', '-c', 'trap "" TERM; echo deaf; exec sleep 3600'])
    await startRanks(spec)
    await bothRun(spec.forkId)
    for (const source of ['r10-stdout', 'r11-stdout'])
      await until(() => logOf(spec.forkId, source) === 'deaf\n', `${source} says that it is deaf`)
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
