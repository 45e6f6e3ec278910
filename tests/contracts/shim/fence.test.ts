/** What both shims do where the agent renews no fence: the stop signals of the role, then SIGKILL of all. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { descendantsOf, readStat } from '../../../src/system/proc.ts'
import { PYTHON } from '../../support/linux-host.ts'
import { KINDS, shimSuite } from '../../support/shim-suite.ts'

describe.each(KINDS)('the %s shim', (kind) => {
  const { prepare, launch, until, runToEnd } = shimSuite(kind)

  test('a fence that nobody renews: the whole tree is ended, also what ignores TERM and left the session, and the exit says so [I2]', async () => {
    const fork = prepare([
      'sh',
      '-c',
      'trap "" TERM; setsid sleep 300 & sleep 300 & while :; do sleep 0.05; done',
    ])
    const limitMs = 1500
    const fence = (token: string, age = 0): void =>
      writeFileSync(join(fork.forkDir, 'fence'), `${limitMs} ${token} ${age} ${token}\n`)
    fence('a')
    const { shim, code } = launch(fork)
    await until(() => fork.record().child, 'the child is recorded')
    await until(() => descendantsOf(shim.pid!).length >= 3, 'the tree is there')
    for (const end = Date.now() + limitMs * 1.5; Date.now() < end; await sleep(100)) fence(String(Date.now()))
    expect(fork.record().exit, 'renewed for longer than the limit').toBeNull()
    const pids = descendantsOf(shim.pid!).map(({ pid }) => pid)
    const at = Date.now()
    await code
    expect(Date.now() - at).toBeLessThan(3000)
    expect(fork.record()).toMatchObject({
      exit: { kind: 'status', status: 9, fenced: true },
      emptyAt: expect.any(Number),
    })
    expect(pids.filter((pid) => readStat(pid) !== null)).toEqual([])
  })

  test('a fence renewed by a word that is old already: it counts from when that was true; a torn line counts for nothing [I2]', async () => {
    const fork = prepare(['sleep', '300'])
    writeFileSync(join(fork.forkDir, 'fence'), '60000 a 0 a\n')
    const { code } = launch(fork)
    await until(() => fork.record().child, 'the child is recorded')
    writeFileSync(join(fork.forkDir, 'fence'), '60000 b 59000 c\n')
    await sleep(600)
    expect(fork.record().exit).toBeNull()
    const at = Date.now()
    writeFileSync(join(fork.forkDir, 'fence'), '60000 d 59500 d\n')
    await code
    expect(Date.now() - at).toBeLessThan(3000)
    expect(fork.record()).toMatchObject({ exit: { fenced: true } })
  })

  /** A root and a child in a session of its own; each says what it gets, the root ends 0.5 s later. */
  const TWO = `
import os, signal, time
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
name = b"root" if os.fork() else b"child"
if name == b"child": os.setsid()
os.write(1, name + b" ready\\n")
end = None
while end is None or time.time() < end:
    got = signal.sigtimedwait({signal.SIGTERM, signal.SIGINT}, 0.05 if end else 3600)
    if got:
        os.write(1, name + b" " + signal.Signals(got.si_signo).name.encode() + b"\\n")
        end = end or time.time() + (0.5 if name == b"root" else 60)
os._exit(7)
`
  const silent = async (ladder: string, claimed = false) => {
    const fork = prepare([PYTHON, '-ISsc', TWO])
    writeFileSync(join(fork.forkDir, 'fence'), `2500 a 0 a ${ladder}\n`)
    if (claimed) writeFileSync(join(fork.forkDir, 'stopping'), 'agent')
    const { code } = launch(fork)
    await code
    const said = fork
      .log('stdout')
      .split('\n')
      .filter((line) => line !== '' && !line.endsWith('ready'))
    return { fork, said }
  }

  test('a fence that nobody renews: before the end the root gets the signal, once; what it left when it has ended', async () => {
    const { fork, said } = await silent('r1000:15')
    expect(said).toEqual(['root SIGTERM', 'child SIGTERM'])
    expect(fork.record()).toMatchObject({ exit: { status: 7 << 8, fenced: true } })
    expect(readFileSync(join(fork.forkDir, 'stopping'), 'utf8')).toBe('shim')
  })

  test('a fence with two signals: each when it is due, to whom is there', async () => {
    expect((await silent('r1000:2,2000:15')).said).toEqual(['root SIGINT', 'child SIGINT', 'child SIGTERM'])
  })

  test('a fence whose stop is to the tree: all of it at once', async () => {
    expect((await silent('t1000:15')).said.toSorted()).toEqual(['child SIGTERM', 'root SIGTERM'])
  })

  test('a fence after the agent has begun to stop: no signal but the SIGKILL at its end', async () => {
    const { fork, said } = await silent('r1000:15', true)
    expect(said).toEqual([])
    expect(fork.record()).toMatchObject({ exit: { status: 9, fenced: true } })
  })

  test('without a fence: a program may run on for ever, and one that ends by itself is not said to be fenced', async () => {
    expect((await runToEnd(['sh', '-c', 'sleep 0.4; kill -9 $$'])).final.exit).not.toHaveProperty('fenced')
  })
})
