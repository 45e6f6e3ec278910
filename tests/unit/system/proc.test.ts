import { spawn } from 'node:child_process'
import { expect, test } from 'vitest'
import {
  below,
  descendantsOf,
  isAlive,
  parseStat,
  readAll,
  readBootId,
  readCommand,
  readEnvironment,
  readOomKills,
  readPidNamespace,
  readStat,
  residentBytes,
  type ProcStat,
} from '../../../src/system/proc.ts'

function line(comm: string): string {
  return `4242 (${comm}) S 17 4242 4240 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654321 1000 200 18446744073709551615 1 1 0`
}

test('a stat line is read by its last bracket, whatever the program calls itself', () => {
  for (const comm of ['sleep', 'a b', ') R 1 1 1 (', 'x) S 0 (y', ''])
    expect(parseStat(line(comm))).toEqual({
      pid: 4242,
      comm,
      state: 'S',
      ppid: 17,
      pgrp: 4242,
      session: 4240,
      startTime: '987654321',
    })
})

test('what is no stat line is nothing', () => {
  for (const text of ['', '12', '12 (a', '12 (a) S 1', 'garbage']) expect(parseStat(text)).toBeNull()
})

test('a process that is there: its parent, command, environment, memory and start time', async () => {
  const child = spawn('sleep', ['3600'], { stdio: 'ignore', env: { ...process.env, PROC_TEST: 'a=b c' } })
  await new Promise((resolve) => child.once('spawn', resolve))
  const stat = readStat(child.pid!)!
  expect(stat.ppid).toBe(process.pid)
  expect(readCommand(child.pid!)).toEqual(['sleep', '3600'])
  expect(readEnvironment(child.pid!)).toContain('PROC_TEST=a=b c')
  expect(residentBytes(child.pid!)).toBeGreaterThan(0)
  expect(descendantsOf(process.pid).map(({ pid }) => pid)).toContain(child.pid)
  expect(readAll().map(({ pid }) => pid)).toContain(child.pid)
  expect(isAlive(stat)).toBe(true)
  expect(isAlive({ ...stat, startTime: '1' })).toBe(false)
  const ended = new Promise((resolve) => child.once('exit', resolve))
  child.kill('SIGKILL')
  await ended
  expect(isAlive(stat)).toBe(false)
  expect(readStat(child.pid!)).toBeNull()
  expect([readCommand(child.pid!), readEnvironment(child.pid!), residentBytes(child.pid!)]).toEqual([
    [],
    null,
    0,
  ])
})

test('a zombie is not alive', async () => {
  const parent = spawn('sh', ['-c', 'true & exec sleep 3600'], { stdio: 'ignore' })
  let zombie: ProcStat | undefined
  for (
    const end = Date.now() + 5000;
    zombie === undefined && Date.now() < end;
    await new Promise((resolve) => setTimeout(resolve, 5))
  )
    zombie = descendantsOf(parent.pid!).find(({ state }) => state === 'Z')
  expect(zombie).toBeDefined()
  expect(isAlive(zombie!)).toBe(false)
  parent.kill('SIGKILL')
})

test('below follows parents to any depth, and ends on a cycle', () => {
  const stat = (pid: number, ppid: number): ProcStat => ({
    pid,
    comm: '',
    state: 'S',
    ppid,
    pgrp: 0,
    session: 0,
    startTime: '0',
  })
  const all = [stat(5, 4), stat(4, 3), stat(3, 2), stat(9, 8), stat(2, 5)]
  expect(below(new Set([3]), all).map(({ pid }) => pid)).toEqual([4, 5, 2])
  expect(below(new Set([7]), all)).toEqual([])
})

test('the boot, the pid namespace and the count of OOM kills can be read here', () => {
  expect(readBootId()).toMatch(/^[0-9a-f-]{36}$/)
  expect(readPidNamespace()).toMatch(/^pid:\[\d+\]$/)
  expect(readOomKills()).toBeGreaterThanOrEqual(0)
})
