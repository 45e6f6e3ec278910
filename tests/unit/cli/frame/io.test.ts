import { EventEmitter } from 'node:events'
import { expect, test } from 'vitest'
import { ioOn } from '../../../../src/cli/frame/io.ts'
import { HEARTBEAT_MS } from '../../../../src/cli/frame/status-line.ts'
import { captureIo } from '../../../support/cli.ts'

test('data goes to stdout, talk to stderr; -q silences talk, not what must be said [K-25 FC-23 +K1]', () => {
  const { io, stdout, stderr } = captureIo()
  io.stdout('id\n')
  io.stderr('talk')
  io.quiet = true
  io.stderr('more talk')
  io.stderr('a failure', { always: true })
  expect([stdout(), stderr()]).toEqual(['id\n', 'talk\na failure\n'])
})

test('text of others does nothing to a terminal but colour it; where a program reads it stays as it is', () => {
  const text = 'a\x1b]0;PWNED\x07\x1b[2Jb\x1b[31mred'
  const shown = 'a\\x1b]0;PWNED\\x07\\x1b[2Jb\x1b[31mred\x1b[0m'
  for (const [tty, expected] of [
    [true, shown],
    [false, text],
  ] as const) {
    const { io, stdout, stderr } = captureIo({ tty })
    io.stdout(`${text}\n`)
    io.stderr(text)
    expect([stdout(), stderr()]).toEqual([`${expected}\n`, `${expected}\n`])
  }
  const raw = captureIo({ tty: true })
  raw.io.stdout(Buffer.from(text))
  expect(raw.stdout()).toBe(text)
})

test('a pending wait on a terminal is one line that is rewritten, and gone before the next line', () => {
  const { io, stderr } = captureIo({ tty: true })
  io.status('waiting for nodes (1 s)')
  io.status('waiting for nodes (2 s)')
  io.stderr('started')
  expect(stderr()).toBe('\r\x1b[2Kwaiting for nodes (1 s)\r\x1b[2Kwaiting for nodes (2 s)\r\x1b[2Kstarted\n')
})

test('a pending wait that nobody sees on a terminal is a line now and each 30 s when quiet [K-24]', () => {
  let now = 0
  const { io, stderr } = captureIo({ now: () => now })
  for (now = 0; now <= 2 * HEARTBEAT_MS; now += 1000) io.status('waiting')
  expect(stderr()).toBe('waiting\nwaiting\nwaiting\n')
})

test('with --json a pending wait says nothing where a program reads: on stderr stands the fault alone [K-25]', () => {
  const piped = captureIo()
  piped.io.json = true
  piped.io.status('waiting')
  piped.io.status(null)
  expect(piped.stderr()).toBe('')
  const terminal = captureIo({ tty: true })
  terminal.io.json = true
  terminal.io.status('waiting')
  terminal.io.status(null)
  expect(terminal.stderr()).toBe('\r\x1b[2Kwaiting\r\x1b[2K')
})

test('other talk puts the heartbeat off', () => {
  let now = 0
  const { io, stderr } = captureIo({ now: () => now })
  io.status('waiting')
  now = HEARTBEAT_MS - 1
  io.stderr('something')
  now = HEARTBEAT_MS + 1
  io.status('waiting')
  expect(stderr()).toBe('waiting\nsomething\n')
})

test('colour is for terminals, and not under NO_COLOR', () => {
  expect(captureIo().io.paint('red', 'x', 'stderr')).toBe('x')
  expect(captureIo({ tty: true }).io.paint('red', 'x', 'stderr')).toContain('\x1b[31m')
  expect(captureIo({ tty: true, env: { NO_COLOR: '1' } }).io.paint('red', 'x', 'stderr')).toBe('x')
})

function brokenPipe(): EventEmitter & { write(): boolean } {
  return Object.assign(new EventEmitter(), { write: () => true })
}
function ioWith(stdout: ReturnType<typeof brokenPipe>, leave: (code: number) => void) {
  return ioOn({
    stdout: stdout as never,
    stderr: brokenPipe() as never,
    stdin: [] as never,
    hasUnreadStdin: async () => false,
    env: {},
    cwd: '/',
    leave,
    connect: () => Promise.reject(new Error('nobody')),
  })
}

test('the reader of stdout goes away: the command ends quietly with 0', () => {
  const stdout = brokenPipe()
  const left: number[] = []
  const io = ioWith(stdout, (code) => left.push(code))
  stdout.emit('error', Object.assign(new Error('broken'), { code: 'EPIPE' }))
  stdout.emit('error', Object.assign(new Error('broken'), { code: 'EPIPE' }))
  expect(left).toEqual([0])
  expect(io.closed.aborted).toBe(true)
})

test('a command that must finish goes on without its output', async () => {
  const stdout = brokenPipe()
  const left: number[] = []
  const io = ioWith(stdout, (code) => left.push(code))
  io.outliveStdout()
  stdout.emit('error', Object.assign(new Error('broken'), { code: 'EPIPE' }))
  io.stdout('to nobody')
  await io.drained()
  expect(left).toEqual([])
})

test('a closed stdin reads as empty', async () => {
  const closed = {
    [Symbol.asyncIterator]: () => ({
      next: () => Promise.reject(Object.assign(new Error('closed'), { code: 'EBADF' })),
    }),
  }
  const io = ioOn({
    stdout: brokenPipe() as never,
    stderr: brokenPipe() as never,
    stdin: closed,
    hasUnreadStdin: async () => false,
    env: {},
    cwd: '/',
    leave: () => {},
    connect: () => Promise.reject(new Error('nobody')),
  })
  expect(await io.stdin()).toBe('')
})
