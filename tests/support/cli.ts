/** The command line in this process: what it would write, and its exit code. */
import { Writable } from 'node:stream'
import { runCli } from '../../src/cli/frame/cli.ts'
import { ioOn, type Io, type Streams } from '../../src/cli/frame/io.ts'
import type { ConnectOptions } from '../../src/client/context.ts'
import type { Troupe } from '../../src/client/troupe.ts'
import { Fault } from '../../src/protocol/faults.ts'

export interface Captured {
  io: Io
  stdout(): string
  stderr(): string
  left: number | null
}

export interface CliOptions {
  tty?: boolean
  /** the connection, or how it is made */
  troupe?: Troupe | ((options: ConnectOptions) => Troupe)
  stdin?: string
  env?: Record<string, string>
  cwd?: string
  now?: () => number
}

function sink(into: string[], tty: boolean): Streams['stdout'] {
  return Object.assign(new Writable({ write: (chunk, _, done) => (into.push(String(chunk)), done()) }), {
    isTTY: tty,
    columns: 80,
  })
}

export function captureIo(options: CliOptions = {}): Captured {
  const out: string[] = []
  const err: string[] = []
  const captured: Captured = {
    io: undefined as unknown as Io,
    stdout: () => out.join(''),
    stderr: () => err.join(''),
    left: null,
  }
  captured.io = ioOn({
    stdout: sink(out, options.tty === true),
    stderr: sink(err, options.tty === true),
    stdin: (async function* () {
      yield options.stdin ?? ''
    })(),
    hasUnreadStdin: async () => (options.stdin ?? '') !== '',
    env: options.env ?? {},
    cwd: options.cwd ?? '/work dir',
    leave: (code) => void (captured.left = code),
    // the test's own connection is not the command's to close
    connect: async (asked) => {
      if (options.troupe === undefined)
        throw new Fault('CONN', 'no context is in use', { hint: 'start a fleet here with: troupe up' })
      const troupe = typeof options.troupe === 'function' ? options.troupe(asked) : options.troupe
      return { ...troupe, close: async () => {} }
    },
    ...(options.now && { now: options.now }),
  })
  return captured
}

export async function cli(
  argv: string[],
  options: CliOptions = {},
): Promise<{ code: number; stdout: string; stderr: string }> {
  const captured = captureIo(options)
  const code = await runCli(argv, captured.io)
  return { code, stdout: captured.stdout(), stderr: captured.stderr() }
}
