/**
 * What a command says and where: data to stdout, talk to stderr, an exit code. Owns colour and what happens
 * when the reader of stdout goes away; commands never touch `process.stdout`. The rewritten line is
 * status-line.ts'.
 *
 * When stdout is closed by its reader (`troupe logs … | head`) the command ends quietly with 0: the reader
 * has what it wanted, and a script under `set -o pipefail` is not made to fail by `head`. A command that must
 * finish its work (`run` passes on a code) calls `outliveStdout` first: it goes on without output.
 */
import { styleText } from 'node:util'
import type { ConnectOptions } from '../../client/context.ts'
import type { Troupe } from '../../client/troupe.ts'
import { visible } from '../../system/terminal.ts'
import { statusLine } from './status-line.ts'
import { textOf } from './utf8.ts'

export type Colour = 'red' | 'yellow' | 'green' | 'cyan' | 'dim' | 'bold'

export interface Io {
  /** data, without a newline added: text is made fit for a terminal, bytes are written as they are */
  stdout(text: string | Uint8Array): void
  /** waits while the reader of stdout is slower than we are */
  drained(): Promise<void>
  /** talk: one line, newline added; silent with `-q` unless `always` */
  stderr(line: string, options?: { always?: boolean }): void
  /** a line of somebody else's program on stderr, bytes as they are; not talk: `-q` does not silence it */
  line(parts: readonly (string | Uint8Array)[]): void
  /** one JSON document on stdout */
  printJson(value: unknown): void
  /**
   * the one rewritten line on stderr while something is awaited (null clears it). Not a terminal: a line when
   * it first says so and each 30 s, with `--json` none: a program reads there, and what it may find is the
   * fault
   */
  status(text: string | null): void
  /** colour on a terminal alone; `stream` is where it will be written */
  paint(colour: Colour, text: string, stream: 'stdout' | 'stderr'): string
  /** aborted when the reader of stdout has gone */
  readonly closed: AbortSignal
  /** go on without output when the reader of stdout goes away */
  outliveStdout(): void
  /** stdout is a terminal */
  readonly isTty: boolean
  /** its descriptor, for what must know which file it is; null: it has none */
  readonly stdoutFd: number | null
  /** stderr is a terminal */
  readonly errTty: boolean
  /** columns of the terminal; Infinity when stdout is none */
  readonly columns: number
  json: boolean
  quiet: boolean
  /** the `--context` that was typed */
  context: string | undefined
  /** the `--connect-timeout` that was typed, ms */
  connectTimeoutMs?: number | undefined
  /** the `--user` that was typed: whose runs a word means */
  runsOf: string | undefined
  readonly env: Readonly<Record<string, string | undefined>>
  readonly cwd: string
  /** all of stdin, for `-f -`; empty when it is closed */
  stdin(): Promise<string>
  /** say that what is on stdin is not passed on, when there is something */
  sayUnreadStdin(): Promise<void>
  setExit(code: number): void
  readonly exitCode: number
  /** the library's connect; loaded when it is called */
  connect(options: ConnectOptions): Promise<Troupe>
}

export interface Streams {
  stdout: NodeJS.WritableStream & { isTTY?: boolean; columns?: number; writableNeedDrain?: boolean }
  stderr: NodeJS.WritableStream & { isTTY?: boolean; columns?: number }
  stdin: AsyncIterable<unknown>
  hasUnreadStdin(): Promise<boolean>
  stdoutFd?: number
  env: Readonly<Record<string, string | undefined>>
  cwd: string
  /** called when the reader of stdout has gone and the command need not finish */
  leave(code: number): void
  connect(options: ConnectOptions): Promise<Troupe>
  now?: () => number
}

export function ioOn(streams: Streams): Io {
  const { stdout, stderr, env } = streams
  const isTty = stdout.isTTY === true
  const errTty = stderr.isTTY === true
  const closed = new AbortController()
  let outlive = false
  let exitCode = 0
  const status = statusLine(stderr, streams.now ?? Date.now)

  stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (closed.signal.aborted) return
    closed.abort()
    if (error.code !== 'EPIPE')
      io.stderr(`troupe: stdout cannot be written: ${error.message}`, { always: true })
    if (!outlive) streams.leave(error.code === 'EPIPE' ? 0 : 1)
  })
  // nobody listens to our talk any more: that is no reason to stop
  stderr.on('error', () => {})

  const colours = (stream: 'stdout' | 'stderr'): boolean =>
    (stream === 'stdout' ? isTty : errTty) && !env.NO_COLOR && env.TERM !== 'dumb'

  const io: Io = {
    stdout(text) {
      if (closed.signal.aborted || text.length === 0) return
      if (isTty) status.clear()
      stdout.write(isTty && typeof text === 'string' ? visible(text) : text)
    },
    drained: () => drained(stdout, closed.signal),
    stderr(line, options = {}) {
      if (io.quiet && options.always !== true) return
      status.interrupt()
      stderr.write(`${errTty ? visible(line) : line}\n`)
    },
    line(parts) {
      status.interrupt()
      stderr.write(
        Buffer.concat([...parts.map((part) => Buffer.from(part as Uint8Array)), Buffer.from('\n')]),
      )
    },
    printJson: (value) => io.stdout(`${JSON.stringify(value, null, isTty ? 2 : undefined)}\n`),
    status(text) {
      if (io.quiet) return
      if (text === null) status.clear()
      else if (errTty || !io.json) status.show(visible(text))
    },
    paint: (colour, text, stream) =>
      colours(stream) ? styleText(colour, text, { validateStream: false }) : text,
    closed: closed.signal,
    outliveStdout: () => void (outlive = true),
    isTty,
    stdoutFd: streams.stdoutFd ?? null,
    errTty,
    columns: isTty ? (stdout.columns ?? 80) : Infinity,
    json: false,
    quiet: false,
    context: undefined,
    runsOf: undefined,
    env,
    cwd: streams.cwd,
    stdin: () => readAll(streams.stdin),
    sayUnreadStdin: () => sayUnread(io, streams),
    setExit: (code) => void (exitCode = code),
    get exitCode() {
      return exitCode
    },
    connect: streams.connect,
  }
  return io
}

async function sayUnread(io: Io, { hasUnreadStdin }: Streams): Promise<void> {
  if (!io.quiet && (await hasUnreadStdin()))
    io.stderr('stdin is not passed on: workers do not read what is there')
}

/** Resolves when the reader of a stream can take more, or has gone. */
function drained(stdout: Streams['stdout'], closed: AbortSignal): Promise<void> {
  if (stdout.writableNeedDrain !== true || closed.aborted) return Promise.resolve()
  return new Promise((resolve) => {
    const done = (): void => {
      stdout.removeListener('drain', done)
      closed.removeEventListener('abort', done)
      resolve()
    }
    stdout.once('drain', done)
    closed.addEventListener('abort', done)
  })
}

/** A closed stdin (`<&-`) reads as empty. */
async function readAll(stdin: AsyncIterable<unknown>): Promise<string> {
  const chunks: Buffer[] = []
  try {
    for await (const chunk of stdin) chunks.push(Buffer.from(chunk as Uint8Array))
  } catch {
    // what was read until then is what there is
  }
  return textOf(Buffer.concat(chunks), 'stdin')
}
