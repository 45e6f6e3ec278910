import { spawn, type ChildProcess } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, expect, test } from 'vitest'
import { signalProcesses } from '../../../src/process/signal-processes.ts'
import type { Observer } from '../../../src/process/observer.ts'
import { readStat } from '../../../src/system/proc.ts'

const children: ChildProcess[] = []
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL')
})

/** A shell that has set its traps; the observer knows it as the root. */
async function root(traps: string): Promise<{ child: ChildProcess; observer: Observer }> {
  const child = spawn('bash', ['-c', `${traps} echo ready; read -r`], { stdio: ['pipe', 'pipe', 'ignore'] })
  children.push(child)
  await new Promise((resolve) => child.stdout!.once('data', resolve))
  const stat = readStat(child.pid!)!
  const observer = { tree: { child: stat }, rankProcess: () => null, rankProcesses: () => [stat, stat] }
  return { child, observer: observer as unknown as Observer }
}

function ended(child: ChildProcess): Promise<string | null> {
  return new Promise((resolve) => child.once('exit', (_, signal) => resolve(signal)))
}

test('no handler, and it would end: nobody gets it, and it is named', async () => {
  const { child, observer } = await root('')
  const result = signalProcesses(observer, 'SIGUSR1', 'root', false)
  expect(result.reached).toBe(0)
  expect(result.fatal[0]).toContain(`pid ${child.pid} (bash`)
  expect(readStat(child.pid!)).not.toBeNull()
})

test('no handler, by force: it ends', async () => {
  const { child, observer } = await root('')
  const end = ended(child)
  expect(signalProcesses(observer, 'SIGUSR1', 'root', true)).toEqual({ reached: 1, fatal: [] })
  expect(await end).toBe('SIGUSR1')
})

test.each([
  ['a handler', "trap 'exit 0' USR1;", 'SIGUSR1'],
  ['ignored', "trap '' USR1;", 'SIGUSR1'],
  ['harmless by default', '', 'SIGWINCH'],
  ['SIGKILL, which has no other meaning', '', 'SIGKILL'],
])('%s: it is sent', async (_, traps, signal) => {
  const { observer } = await root(traps)
  expect(signalProcesses(observer, signal, 'root', false)).toEqual({ reached: 1, fatal: [] })
})

test('to ranks: each of them; to a rank that is not there: nobody', async () => {
  const { observer } = await root("trap '' USR1;")
  expect(signalProcesses(observer, 'SIGUSR1', 'ranks', false).reached).toBe(2)
  expect(signalProcesses(observer, 'SIGUSR1', 3, false).reached).toBe(0)
})

test('it waits for the signal (sigwait, as tini does): it gets it, though its set of blocked ones lacks it', async () => {
  const script =
    'import signal as s; w = {s.SIGUSR1}; s.pthread_sigmask(0, w); print("ready", flush=True); print(s.sigwait(w))'
  const child = spawn('python3', ['-ISsc', script], { stdio: ['ignore', 'pipe', 'ignore'] })
  children.push(child)
  await new Promise((resolve) => child.stdout.once('data', resolve))
  const stat = readStat(child.pid!)!
  const observer = { tree: { child: stat } } as unknown as Observer
  const end = new Promise((resolve) => child.once('exit', resolve))
  while (readFileSync(`/proc/${child.pid}/stat`, 'utf8').split(' ')[2] !== 'S') await turn()
  expect(signalProcesses(observer, 'SIGUSR2', 'root', false).reached).toBe(0)
  expect(signalProcesses(observer, 'SIGUSR1', 'root', false)).toEqual({ reached: 1, fatal: [] })
  expect(await end).toBe(0)
})
