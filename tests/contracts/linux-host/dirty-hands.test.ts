/** A worker lays hands on what is ours: its fork's directory, its shim, its cgroup. */
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { findCgroups } from '../../../src/process/cgroup.ts'
import { readExecFile } from '../../../src/process/exec-file.ts'
import { fileOf, forkDirOf, logDirOf } from '../../../src/process/spool.ts'
import {
  living,
  misbehave,
  directory,
  host,
  logOf,
  open,
  recordOf,
  spoolDir,
  start,
  until,
} from '../../support/linux-host-suite.ts'
import { ended, openAs, sh } from '../../support/dirty-workers.ts'
import { forkSpec } from '../../support/spec.ts'
import { readAll, readCommand, readStat } from '../../../src/system/proc.ts'

describe.each(['C', 'Python'])('a worker and its directory in the spool, %s shim', (kind) => {
  const openHost = () => openAs(kind)

  test.each([
    ['removes it', 'rm -rf "$TROUPE_FORK_DIR"'],
    ['removes what is in it', 'rm -rf "$TROUPE_FORK_DIR"/*'],
    ['removes the directory of all forks', 'rm -rf "$(dirname "$TROUPE_FORK_DIR")"'],
    ['moves it away', 'mv "$TROUPE_FORK_DIR" "$TROUPE_FORK_DIR.away"'],
    ['empties the record', ': > "$TROUPE_FORK_DIR/record"'],
    ['removes the record', 'rm "$TROUPE_FORK_DIR/record"'],
  ])('it %s: the exit is the true one, and the receipt comes', async (_, deed) => {
    await openHost()
    const [early, late] = [sh(`${deed}; exit 5`, 0), sh(`sleep 0.3; ${deed}; sleep 2; exit 6`, 1)]
    await start(early)
    expect(await ended(early.forkId)).toMatchObject({
      exit: { code: 5, unknown: null },
      receipt: { outcome: 'gone' },
    })
    await start(late)
    expect(await ended(late.forkId)).toMatchObject({
      exit: { code: 6, unknown: null },
      receipt: { outcome: 'gone' },
    })
  })

  test('it removed it and is killed: told as that', async () => {
    await openHost()
    const spec = sh('rm -rf "$TROUPE_FORK_DIR"; exec sleep 3600')
    expect((await start(spec)).pid).toBeGreaterThan(1)
    await host.killTree(spec.forkId)
    expect(await ended(spec.forkId)).toMatchObject({
      exit: { signal: 'SIGKILL' },
      receipt: { outcome: 'gone' },
    })
  })

  test('it put something else there, so that nothing can be recorded: the exit is unknown, with why', async () => {
    await openHost()
    // the shim makes its directory anew: the worker tries until it is the faster one
    const put = 'until (rm -rf "$TROUPE_FORK_DIR"; : > "$TROUPE_FORK_DIR") 2>&-; do :; done'
    const spec = sh(`${put}; sleep 2; exit 5`)
    await start(spec)
    const { exit, receipt } = await ended(spec.forkId)
    expect(exit).toMatchObject({ code: null, signal: null })
    expect(exit.unknown).toContain('directory of the fork was removed')
    expect(receipt.outcome).toBe('unverified')
  })

  test.each([
    ['a pipe', 'mkfifo'],
    ['endless zeros', 'ln -s /dev/zero'],
    ['a directory', 'mkdir'],
  ])(
    'it put %s in the place of its record and its logs: the agent goes on, and another fork ends as it does',
    async (_, put) => {
      await openHost()
      const log = join(logDirOf(spoolDir, forkSpec([]).forkId), 'stdout')
      const replace = `for f in "$TROUPE_FORK_DIR/record" '${log}'; do rm -rf "$f"; ${put} "$f"; done`
      const spec = sh(`for i in 1 2 3 4 5; do ${replace}; sleep 0.1; done; sleep 1; exit 5`)
      await start(spec)
      const other = sh('sleep 2; exit 6', 7)
      await start(other)
      expect(await ended(other.forkId)).toMatchObject({ exit: { code: 6 } })
      const { exit } = await ended(spec.forkId)
      expect(exit.code ?? exit.unknown).not.toBeNull()
    },
  )

  test('it put a link to a directory of its own there: nothing of that is removed or written, the exit is told', async () => {
    await openHost()
    const own = join(directory, `own-${kind}`)
    mkdirSync(join(own, 'deep'), { recursive: true })
    writeFileSync(join(own, 'deep', 'kept'), '')
    const link = `rm -rf "$TROUPE_FORK_DIR"; ln -s '${own}' "$TROUPE_FORK_DIR"`
    const spec = sh(`${link}; while [ -L "$TROUPE_FORK_DIR" ]; do sleep 0.05; done; ${link}; exit 5`)
    await start(spec)
    expect(await ended(spec.forkId)).toMatchObject({ exit: { code: 5 } })
    await host.release(spec.forkId)
    await until(() => !existsSync(forkDirOf(spoolDir, spec.forkId)), 'the fork is forgotten')
    expect(readdirSync(join(own, 'deep'))).toEqual(['kept'])
  })

  test('it removed it, and the agent is another one when it ends: that knows it, and tells the exit', async () => {
    await openHost()
    const go = join(directory, `go-${kind}`)
    const spec = sh(`rm -rf "$TROUPE_FORK_DIR"; echo; while [ ! -e '${go}' ]; do sleep 0.05; done; exit 5`)
    const { pid } = await start(spec)
    await until(() => logOf(spec.forkId, 'stdout') === '\n', 'it removed the directory')
    await until(() => existsSync(fileOf.fork(forkDirOf(spoolDir, spec.forkId))), 'the directory is back')
    await host.close()
    const [found] = await openHost()
    expect(found).toMatchObject({ phase: 'running', started: { pid } })
    writeFileSync(go, '')
    expect(await ended(spec.forkId)).toMatchObject({ exit: { code: 5 }, receipt: { outcome: 'gone' } })
  })

  test('its barrier is gone and no agent is there: the next one does not take it for one that never ran', async () => {
    await openHost()
    const spec = sh('exec sleep 3600')
    await start(spec)
    await host.close()
    rmSync(fileOf.started(forkDirOf(spoolDir, spec.forkId)), { recursive: true })
    rmSync(fileOf.exec(forkDirOf(spoolDir, spec.forkId)))
    expect((await openHost())[0]).toMatchObject({ phase: 'running' })
    await host.killTree(spec.forkId)
    expect(await ended(spec.forkId)).toMatchObject({ exit: { signal: 'SIGKILL' } })
  })
})

describe('a worker stops its shim', () => {
  test('and ends: its exit is told all the same', async () => {
    await open()
    const spec = sh('kill -STOP $PPID; exit 5')
    await start(spec)
    expect(await ended(spec.forkId)).toMatchObject({ exit: { code: 5 }, receipt: { outcome: 'gone' } })
  })

  test('again and again, and is killed: the receipt comes in bounded time', async () => {
    await open()
    const spec = sh('while :; do kill -STOP $PPID; done')
    await start(spec)
    await until(() => readStat(recordOf(spec.forkId).shim!.pid)?.state === 'T', 'the shim is stopped')
    await host.killTree(spec.forkId)
    expect(await ended(spec.forkId)).toMatchObject({
      exit: { signal: 'SIGKILL' },
      receipt: { outcome: 'gone' },
    })
  })

  test('a debugger holds it: after the time for a kill the shim is killed too, and the receipt is unverified', async () => {
    await open({ killBudgetMs: 500 })
    // the tracer is nobody of the tree: it outlives the kill
    const spec = forkSpec(misbehave('ignore-term'))
    await start(spec)
    const { pid } = recordOf(spec.forkId).shim!
    const { spawn } = await import('node:child_process')
    const attach = `import ctypes, time
ctypes.CDLL(None).ptrace(16, ${pid}, 0, 0)
time.sleep(3600)`
    const tracer = spawn(misbehave()[0]!, ['-ISsc', attach], { stdio: 'ignore' })
    try {
      await until(() => readStat(pid)?.state === 't', 'the shim is traced')
      await host.killTree(spec.forkId)
      const { exit, receipt } = await ended(spec.forkId)
      expect(exit.unknown).toContain('shim')
      expect(receipt.outcome).toBe('unverified')
    } finally {
      tracer.kill('SIGKILL')
    }
  })
})

describe.runIf(findCgroups('test') !== null)('a process left the cgroup of its fork', () => {
  const escape = (seconds: number, after: string) => {
    const go = join(directory, `go-${seconds}`)
    const leave = `echo $$ > $(cat ${go})/cgroup.procs; exec setsid env -i sleep ${seconds}`
    return {
      go,
      spec: sh(`while [ ! -s ${go} ]; do sleep 0.05; done; sh -c '${leave}' & sleep 0.5; ${after}`),
    }
  }
  const escaped = (seconds: number) =>
    living(readAll()).filter(({ pid }) => readCommand(pid).join(' ') === `sleep ${seconds}`)

  test('and the shim was killed: never gone', async () => {
    const seconds = 2_000_000 + process.pid
    await open({ cgroups: true })
    const { go, spec } = escape(seconds, 'kill -9 $PPID; exit 9')
    await start(spec)
    writeFileSync(go, dirname(readExecFile(fileOf.exec(forkDirOf(spoolDir, spec.forkId)))!.cgroup!))
    try {
      const { receipt } = await ended(spec.forkId)
      expect(escaped(seconds)).toHaveLength(1)
      expect(receipt).toMatchObject({ outcome: 'unverified' })
      expect(receipt.reason).toContain('left the session and the cgroup')
    } finally {
      for (const { pid } of escaped(seconds)) process.kill(pid, 'SIGKILL')
    }
  })

  test('and the shim lives: it is ended with the others', async () => {
    const seconds = 3_000_000 + process.pid
    await open({ cgroups: true })
    const { go, spec } = escape(seconds, 'exec sleep 3600')
    await start(spec)
    writeFileSync(go, dirname(readExecFile(fileOf.exec(forkDirOf(spoolDir, spec.forkId)))!.cgroup!))
    await until(() => escaped(seconds).length === 1, 'it has left')
    expect(readFileSync(`/proc/${escaped(seconds)[0]!.pid}/cgroup`, 'utf8')).not.toContain(spec.forkId)
    await host.killTree(spec.forkId)
    expect(await ended(spec.forkId)).toMatchObject({ receipt: { outcome: 'gone' } })
    expect(escaped(seconds)).toEqual([])
  })
})
