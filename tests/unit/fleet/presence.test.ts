import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { announcePresence, endProcess, identify, listPresent } from '../../../src/fleet/presence.ts'

let dir: string
let children: ChildProcess[]
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-test-presence-'))
  children = []
})
afterEach(async () => {
  for (const child of children) child.kill('SIGKILL')
  await rm(dir, { recursive: true, force: true })
})

/** A program that has said that it is ready. */
async function start(script: string): Promise<ChildProcess & { pid: number }> {
  const child = spawn('/bin/sh', ['-c', `${script}; echo ready; while :; do sleep 0.05; done`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  children.push(child)
  await once(child.stdout!, 'data')
  return child as ChildProcess & { pid: number }
}

test('who announces itself is listed until it takes it back', async () => {
  const leave = await announcePresence(dir, 'agent', 'n0')
  expect(await listPresent(dir)).toEqual([
    expect.objectContaining({ kind: 'agent', node: 'n0', pid: process.pid }),
  ])
  await leave()
  expect(await listPresent(dir)).toEqual([])
})

test('who was killed is not listed, and its file goes', async () => {
  const child = await start(':')
  await announcePresence(dir, 'coordinator', '', child.pid)
  expect(await listPresent(dir)).toHaveLength(1)
  child.kill('SIGKILL')
  await once(child, 'exit')
  expect([await listPresent(dir), await readdir(dir)]).toEqual([[], []])
})

test('a fleet that never was has nobody, and looking makes nothing', async () => {
  expect(await listPresent(join(dir, 'none'))).toEqual([])
  expect(await readdir(dir)).toEqual([])
})

test('ending: a process that ignores SIGTERM is killed after its time, one that is stopped ends too, one that is gone is gone', async () => {
  const [stubborn, stopped] = [await start("trap '' TERM"), await start(':')]
  stopped.kill('SIGSTOP')
  const [a, b] = [identify(stubborn.pid)!, identify(stopped.pid)!]
  expect(await Promise.all([endProcess(a, 'SIGTERM', 100), endProcess(b, 'SIGTERM', 5000)])).toEqual([
    true,
    true,
  ])
  expect([
    stubborn.signalCode ?? (await once(stubborn, 'exit'))[1],
    stopped.signalCode ?? (await once(stopped, 'exit'))[1],
  ]).toEqual(['SIGKILL', 'SIGTERM'])
  expect(await endProcess(a, 'SIGTERM', 0)).toBe(true)
})
