/**
 * One suite over both shims, shim.c and shim.py: what they start, what they record, what they leave alone. No
 * host is involved.
 */
import { spawn } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  readlinkSync,
  statSync,
  writeFileSync,
  openSync,
  closeSync,
} from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { BLANK_RECORD, exitOf } from '../../../src/process/records.ts'
import { descendantsOf, isAlive, readCommand, readEnvironment, readStat } from '../../../src/system/proc.ts'
import { misbehave, removeDirectory, temporaryDirectory, TREES } from '../../support/linux-host.ts'
import { built, directory, OOM, KINDS, shimSuite } from '../../support/shim-suite.ts'

describe.each(KINDS)('the %s shim', (kind) => {
  const { prepare, launch, until, runToEnd } = shimSuite(kind)

  test.each([0, 1, 7, 126, 127, 137, 143, 255])(
    'a program that exits with %i: that code, and no signal [A-32 +A2]',
    async (code) => {
      expect((await runToEnd(['sh', '-c', `exit ${code}`])).exit).toEqual({
        code,
        signal: null,
        oom: false,
        unknown: null,
      })
    },
  )

  test.each(['SIGKILL', 'SIGSEGV', 'SIGTERM', 'SIGABRT', 'SIGINT'])(
    'a program that ends by %s: that signal, and no code [FC-1 +R3]',
    async (signal) => {
      const { exit } = await runToEnd(misbehave('signal-self', signal))
      expect(exit).toMatchObject({ code: null, signal })
    },
  )

  test('a program that reads where there is nothing: SIGSEGV [FC-1]', async () => {
    expect((await runToEnd(misbehave('segv'))).exit).toMatchObject({ code: null, signal: 'SIGSEGV' })
  })

  test('the record tells shim, child, exit and empty, with start times that are theirs', async () => {
    const fork = prepare(['sleep', '30'])
    const { shim, code } = launch(fork)
    const child = await until(() => fork.record().child, 'the child is recorded')
    const record = fork.record()
    expect(record.shim).toEqual({ pid: shim.pid, startTime: readStat(shim.pid!)!.startTime })
    expect(isAlive(child)).toBe(true)
    expect(readCommand(child.pid)).toEqual(['sleep', '30'])
    expect(record).toMatchObject({ exit: null, emptyAt: null })
    process.kill(child.pid, 'SIGTERM')
    expect(await code).toBe(0)
    const last = fork.record()
    expect(last.exit).toMatchObject({ kind: 'status', status: 15 })
    expect(last.emptyAt! - last.child!.at).toBeGreaterThanOrEqual(0)
    expect(statSync(join(fork.forkDir, 'record')).size).toBe(BLANK_RECORD.length)
  })

  test('the argv of the shim is its path and the directory; neither it nor its environment names the worker', async () => {
    const fork = prepare(['sleep', '30'], { env: { TROUPE_FORK_ID: 'a.b.0.1' } })
    const { shim, code } = launch(fork)
    const child = await until(() => fork.record().child, 'the child is recorded')
    expect(readCommand(shim.pid!)).toEqual([...built[kind], fork.forkDir])
    expect(readEnvironment(shim.pid!)).not.toContain('TROUPE_FORK_ID=a.b.0.1')
    expect(readEnvironment(child.pid)).toContain('TROUPE_FORK_ID=a.b.0.1')
    process.kill(child.pid, 'SIGKILL')
    await code
  })

  test('two shims for one fork: one of them starts the program, the other ends and changes nothing', async () => {
    for (let round = 0; round < 5; round++) {
      const fork = prepare(['sh', '-c', 'echo once; sleep 0.05'])
      const codes = await Promise.all(Array.from({ length: 4 }, () => launch(fork).code))
      expect(codes.toSorted()).toEqual([0, 3, 3, 3])
      expect(fork.log('stdout')).toBe('once\n')
    }
  })

  test('the barrier is there already: the shim ends at once and starts nothing', async () => {
    const fork = prepare(['touch', join(directory, 'never')])
    mkdirSync(join(fork.forkDir, 'started'))
    expect(await launch(fork).code).toBe(3)
    expect(fork.record()).toMatchObject({ shim: null, child: null, exit: null, emptyAt: null })
    expect(readdirSync(directory)).not.toContain('never')
    expect(readdirSync(fork.logDir)).toEqual([])
  })

  test('the fork is gone before the shim comes: nothing happens', async () => {
    const fork = prepare(['true'])
    removeDirectory(fork.forkDir)
    expect(await launch(fork).code).toBe(3)
    expect(readdirSync(directory)).not.toContain(fork.forkDir.split('/').at(-1))
  })

  test.each([
    [
      'a program that is not there',
      ['no-such-program'],
      127,
      'troupe: no-such-program: No such file or directory\n',
    ],
    [
      'a path that is not there',
      ['/no/such/program'],
      127,
      'troupe: /no/such/program: No such file or directory\n',
    ],
    ['a file that may not be run', ['/etc/passwd'], 126, 'troupe: /etc/passwd: Permission denied\n'],
    ['a directory', ['/'], 126, 'troupe: /: Permission denied\n'],
  ])(
    '%s: an exit of 126 or 127, its name in stderr, never a running child [FC-24]',
    async (_, argv, code, text) => {
      const { final, exit, log } = await runToEnd(argv)
      expect(exit).toEqual({ code, signal: null, oom: false, unknown: null })
      expect(final.child).toBeNull()
      expect(final.emptyAt).not.toBeNull()
      expect(log('stderr')).toBe(text)
    },
  )

  test('a working directory that is not there: 126, with its name', async () => {
    const { exit, log } = await runToEnd(['true'], { cwd: '/no/such/place' })
    expect(exit?.code).toBe(126)
    expect(log('stderr')).toContain('/no/such/place')
  })

  test('an executable text without a first line for an interpreter is run by sh', async () => {
    const script = join(directory, `script-${kind}`)
    writeFileSync(script, 'echo from sh\n', { mode: 0o755 })
    expect((await runToEnd([script])).log('stdout')).toBe('from sh\n')
  })

  test('the program begins clean: own session and group, no descriptors, default signals, empty stdin [A-32]', async () => {
    const cwd = temporaryDirectory()
    const { log } = await runToEnd(misbehave('state'), { cwd })
    expect(log('stdout')).toContain('stdin /dev/null\n')
    expect(log('stdout')).toMatch(/^fds $/m)
    // Python itself ignores SIGPIPE and SIGXFSZ
    expect(log('stdout')).toContain('ignored 0000000001001000 blocked 0000000000000000\n')
    expect(log('stdout')).toContain('session True group True\n')
    expect(log('stdout')).toContain(`cwd ${cwd}\n`)
    removeDirectory(cwd)
  })

  test('umask and soft limits are those that it is told, up to the hard ones, which stay', async () => {
    const show = ['sh', '-c', 'ulimit -Sn; ulimit -Hn; umask; ulimit -Ss; ulimit -Sc; echo "<$TROUPE_SHELL>"']
    const before = (await runToEnd(show)).log('stdout').split('\n')
    const hard = before[1]!
    expect((await runToEnd(show, { shell: '23 7:777,3:4194304,4:0,' })).log('stdout')).toBe(
      `777\n${hard}\n0027\n4096\n0\n<>\n`,
    )
    const more = (await runToEnd(show, { shell: `-1 7:${Number(hard) + 1},3:-1,` })).log('stdout').split('\n')
    expect(more.slice(0, 3)).toEqual([hard, hard, before[2]])
    expect((await runToEnd(show, { shell: '-1 ' })).log('stdout')).toBe(before.join('\n'))
  })

  test('what it is given to hold it holds until nothing of the tree is left, a straggler too, and the program has none of it [A-19 A-32]', async () => {
    const fork = prepare(['sh', '-c', 'ls -l /proc/self/fd; sleep 30 & echo $! > child; exit 0'], {
      cwd: directory,
    })
    const fds = ['a', 'b'].map((name) => openSync(join(directory, `held-${name}`), 'w'))
    const shim = spawn(built[kind][0]!, [...built[kind].slice(1), fork.forkDir], {
      detached: true,
      stdio: ['ignore', 'ignore', 'ignore', ...fds, openSync(directory, 'r')],
      env: { PATH: process.env['PATH'], TROUPE_HELD: '2' },
      cwd: '/',
    })
    const held = (): string[] =>
      readdirSync(`/proc/${shim.pid}/fd`)
        .map((fd) => readlinkSync(`/proc/${shim.pid}/fd/${fd}`))
        .filter((file) => file.startsWith(directory) && !file.endsWith('/record'))
    await until(() => fork.record().exit, 'the root has ended')
    expect(held().toSorted()).toEqual([join(directory, 'held-a'), join(directory, 'held-b')])
    expect(fork.log('stdout')).not.toContain('held-')
    process.kill(Number(readFileSync(join(directory, 'child'), 'utf8')), 'SIGKILL')
    await until(() => fork.record().emptyAt, 'nothing is left')
    for (const fd of fds) closeSync(fd)
  })

  test('values with equals signs, quotes, newlines and UTF-8, and arguments with spaces, arrive as they are [FC-14]', async () => {
    const values = {
      A: 'a=b=c',
      B: `"double" 'single' \`back\` $(no) \\`,
      C: 'one\ntwo\n',
      D: 'schön 漢字 🚂',
      E: '',
    }
    const { log } = await runToEnd(
      [
        'sh',
        '-c',
        'for v in A B C D E; do eval "printf %s \\"\\$$v\\""; printf "|"; done; printf "%s|" "$@"',
        'sh',
        'an argument',
        '',
        '*',
        'new\nline',
        'é',
      ],
      { env: values },
    )
    expect(log('stdout')).toBe(
      [...Object.values(values), 'an argument', '', '*', 'new\nline', 'é', ''].join('|'),
    )
  })

  test('a variable whose bytes are no UTF-8 arrives as these', async () => {
    const { log } = await runToEnd(['sh', '-c', 'printf %s "$X" | od -An -tx1'], { env: { X: 'a\udce4ö' } })
    expect(log('stdout')).toBe(' 61 e4 c3 b6\n')
  })

  test('`> /dev/stderr` in the middle of a log: what is written after it is at the end, not over the hole [A-33]', async () => {
    const { log } = await runToEnd(misbehave('truncate-stderr'))
    expect(log('stderr')).toBe('x\nlast\n')
  })

  test('TERM, INT and HUP to the shim itself: it goes on, and records the true exit', async () => {
    const go = join(directory, `go-${kind}`)
    const fork = prepare(['sh', '-c', `while [ ! -e '${go}' ]; do sleep 0.05; done; exit 9`])
    const { shim, code } = launch(fork)
    await until(() => fork.record().child, 'the child is recorded')
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(shim.pid!, signal)
    writeFileSync(go, '')
    expect(await code).toBe(0)
    expect(exitOf(fork.record().exit!, OOM).code).toBe(9)
  })

  test.each(['double-fork', 'setsid', 'family', 'no-environment'] as const)(
    '%s: whatever leaves its parent stays below the shim, and empty waits for it [A-32 FC-2 +A17]',
    async (name) => {
      const fork = prepare(misbehave(name))
      const { shim, code } = launch(fork)
      const { processes: expected, said } = TREES[name]
      await until(
        // the process between the root and its daemon is counted, too, until the daemon has said its word
        () =>
          existsSync(join(fork.logDir, 'stdout')) &&
          said.test(fork.log('stdout')) &&
          descendantsOf(shim.pid!).filter((stat) => stat.state !== 'Z').length === expected,
        `${expected} processes`,
      )
      const root = fork.record().child!
      process.kill(root.pid, 'SIGKILL')
      await until(() => fork.record().exit, 'the root is recorded')
      const left = descendantsOf(shim.pid!).filter((stat) => stat.state !== 'Z')
      expect(left).toHaveLength(expected - 1)
      expect(fork.record().emptyAt).toBeNull()
      for (const { pid } of left) process.kill(pid, 'SIGKILL')
      expect(await code).toBe(0)
      expect(fork.record().emptyAt).not.toBeNull()
    },
  )

  test('called without arguments it says how it is used', async () => {
    const { code } = launch(prepare(['true']), [])
    expect(await code).toBe(2)
  })
})
