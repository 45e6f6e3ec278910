/**
 * What `down` does for a node whose agent is dead: its spool is opened as the agent would, and everything in
 * it is ended.
 */
import { mkdirSync, rmSync, symlinkSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { layoutOf, type FleetLayout } from '../../src/fleet/layout.ts'
import { listNodes, sweepNode } from '../../src/fleet/sweep.ts'
import { byUser } from '../../src/protocol/causes.ts'
import { linuxHost, listenTo, misbehave, processesOf, shims, sweepProcesses } from '../support/linux-host.ts'
import { forkSpec, NO_BINDINGS } from '../support/spec.ts'
import { until } from '../support/test-server.ts'

let home: string
let layout: FleetLayout
let spool: string
let shim: string[]
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-test-sweep-'))
  layout = layoutOf(home, join(home, 'local'), 'main')
  spool = layout.node('n0').spool
  mkdirSync(spool, { recursive: true })
  shim = (await shims(join(home, 'shim'))).c
})
afterEach(async () => {
  sweepProcesses(spool)
  await rm(home, { recursive: true, force: true })
})

test('trees with daemons, without a root, or only prepared: all are ended, with receipts; the next agent finds true exits [A-32 +A17]', async () => {
  const [tree, orphaned, prepared] = [
    forkSpec(misbehave('double-fork'), { n: 0 }),
    forkSpec(misbehave('leave-daemon', '0'), { n: 1 }),
    forkSpec(['sleep', '1000'], { n: 2 }),
  ]
  const before = linuxHost(spool, shim)
  const heard = listenTo(before)
  await before.recover()
  await before.prepare([tree, orphaned, prepared])
  for (const { forkId } of [tree, orphaned]) await before.start(forkId, NO_BINDINGS)
  await heard.next('exited', orphaned.forkId)
  await until(
    'both trees are complete',
    () => processesOf(spool, tree.forkId).length >= 2 && processesOf(spool, orphaned.forkId).length >= 1,
  )
  await before.close()

  expect(await listNodes(layout)).toEqual(['n0'])
  const receipts = await sweepNode(layout, 'n0', byUser('ada'), () => undefined)
  expect(
    receipts
      .map(({ worker, outcome, survivors }) => ({ worker, outcome, survivors }))
      .toSorted((a, b) => a.worker.localeCompare(b.worker)),
  ).toEqual([
    { worker: 'test-run/role/0', outcome: 'gone', survivors: [] },
    { worker: 'test-run/role/1', outcome: 'gone', survivors: [] },
  ])
  expect([...processesOf(spool, tree.forkId), ...processesOf(spool, orphaned.forkId)]).toEqual([])

  const after = linuxHost(spool, shim)
  const found = Object.fromEntries((await after.recover()).map((fork) => [fork.spec.index, fork]))
  await after.close()
  expect(found[0]).toMatchObject({
    phase: 'gone',
    exit: { code: null, signal: 'SIGKILL' },
    notes: { stop: { killedBy: { by: 'user', name: 'ada' } } },
  })
  expect(found[1]).toMatchObject({ phase: 'gone', exit: { code: 0, signal: null } })
  expect(found[2]).toMatchObject({ phase: 'cancelled' })
})

test('a spool in which nothing runs: no receipts, and it stays as it is', async () => {
  expect(await sweepNode(layout, 'n0', byUser('ada'), () => undefined)).toEqual([])
})

test('a spool of another format is refused, and its processes run on', async () => {
  const spec = forkSpec(['sleep', '1000'], { n: 0 })
  const before = linuxHost(spool, shim)
  await before.recover()
  await before.prepare([spec])
  const { pid } = await before.start(spec.forkId, NO_BINDINGS)
  await before.close()
  rmSync(join(spool, 'format'))
  symlinkSync('99', join(spool, 'format'))
  await expect(sweepNode(layout, 'n0', byUser('ada'), () => undefined)).rejects.toMatchObject({
    code: 'SPOOL',
    message: expect.stringContaining('format 99'),
  })
  expect(processesOf(spool, spec.forkId)).toContain(pid)
})
