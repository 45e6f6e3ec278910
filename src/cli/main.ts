/**
 * The command line's entry: the process's own streams, and the end of the process. What a command line means
 * is cli.ts'. No top-level await: the bundle can then also be a CommonJS script with V8's code cache, which
 * halves the start.
 */
import { runCli } from './frame/cli.ts'
import { ioOn } from './frame/io.ts'
import { exactArgs, exactEnv } from '../system/exact-env.ts'
import { workingDirectory } from '../system/working-directory.ts'

// no stack traces: what is thrown past everything is our own mistake, and its words are all that helps
process.on('uncaughtException', (error) => {
  process.stderr.write(
    `troupe: ${process.env['TROUPE_DEBUG'] ? error.stack : error.message} (a mistake in troupe itself)\n`,
  )
  process.exit(125)
})

const io = ioOn({
  stdout: process.stdout,
  stderr: process.stderr,
  stdin: process.stdin,
  stdoutFd: process.stdout.fd,
  hasUnreadStdin: async () => (await import('./frame/unread-stdin.ts')).hasUnreadStdin(),
  env: exactEnv(process.env),
  cwd: workingDirectory(),
  // what is still in hand (connections, timers) has nobody left to tell
  leave: (code) => process.exit(code),
  connect: async (options) => (await import('../connect.ts')).connect(options),
})

/** A pipe takes what it can: exit only when it has taken all. */
function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) =>
    stream.writableLength === 0 ? resolve() : stream.write('', () => resolve()),
  )
}

void (async () => {
  const code = await runCli(exactArgs(process.argv.slice(2)), io)
  await Promise.all([flushed(process.stdout), flushed(process.stderr)])
  process.exit(code)
})()
