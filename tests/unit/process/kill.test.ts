import { spawn, type ChildProcess } from 'node:child_process'
import { afterEach, expect, test } from 'vitest'
import { killMembers, signalMembers, type Send } from '../../../src/process/kill.ts'
import { groupsOf, membersOf, type Tree } from '../../../src/process/tree.ts'
import { descendantsOf, readStat } from '../../../src/system/proc.ts'

/** a process in the place of the shim, with a child in a group of its own and one in the shim's */
let shim: ChildProcess
async function grow(): Promise<Tree> {
  shim = spawn('bash', ['-c', 'setsid sleep 3600 & sleep 3600 & wait'], { detached: true, stdio: 'ignore' })
  for (
    const end = Date.now() + 5000;
    descendantsOf(shim.pid!).filter(({ comm }) => comm === 'sleep').length < 2;
    await new Promise((resolve) => setTimeout(resolve, 5))
  )
    if (Date.now() > end) throw new Error('it does not grow')
  return {
    marker: 'NONE=',
    shim: { pid: shim.pid!, startTime: readStat(shim.pid!)!.startTime },
    child: null,
    cgroup: null,
  }
}
afterEach(() => {
  for (const { pid } of descendantsOf(shim.pid!)) process.kill(pid, 'SIGKILL')
  shim.kill('SIGKILL')
})

const refuse: Send = () => {
  throw Object.assign(new Error('not permitted'), { code: 'EPERM' })
}

test('the group of the shim is never signalled as a whole, nor is the agent’s', async () => {
  const tree = await grow()
  const groups = groupsOf(tree, membersOf(tree))
  expect(groups.size).toBe(1)
  expect(groups.has(shim.pid!)).toBe(false)
  expect(groups.has(readStat(process.pid)!.pgrp)).toBe(false)
  const sent: number[] = []
  signalMembers(tree, 'SIGTERM', (pid) => void sent.push(pid))
  expect(sent).toHaveLength(2)
  expect(sent.filter((pid) => pid < 0)).toEqual([...groups].map((group) => -group))
  expect(sent).not.toContain(-shim.pid!)
})

test('processes of another user refuse every signal: they are told as survivors, soon', async () => {
  const tree = await grow()
  const began = performance.now()
  const survivors = await killMembers(tree, { isEmpty: () => false, spareFirst: new Set(), send: refuse })
  expect(survivors.map(({ comm }) => comm)).toEqual(['sleep', 'sleep'])
  expect(performance.now() - began).toBeLessThan(2000)
})

test('signals that do not help: they are told as survivors when the time is over', async () => {
  const tree = await grow()
  expect(
    await killMembers(tree, { isEmpty: () => false, spareFirst: new Set(), send: () => {}, budgetMs: 200 }),
  ).toHaveLength(2)
})

test('those to be spared get a moment, and are ended after it', async () => {
  const tree = await grow()
  const [first] = membersOf(tree)
  const sent: number[] = []
  await killMembers(tree, {
    isEmpty: () => false,
    spareFirst: new Set([first!.pid]),
    send: (pid) => void sent.push(Math.abs(pid)),
    budgetMs: 300,
  })
  expect(sent[0]).not.toBe(first!.pid)
  expect(sent).toContain(first!.pid)
})

test('a name that is no signal reaches nobody', async () => {
  const tree = await grow()
  const sent: number[] = []
  signalMembers(tree, 'SIGNOPE', (pid) => void sent.push(pid))
  expect(sent).toEqual([])
})
