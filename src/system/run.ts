/**
 * Runs a helper program to its end: nvidia-smi, cc, fallocate, `nats-server --version`. Owns its time limit,
 * the bound of its output, the end of everything that it started, and the Fault that says how it failed.
 * Workers, coordinator, agents, nats-server and hooks are not helpers: docs/adr/0007 says why.
 *
 * This is the one importer of execa and tree-kill. Both are loaded at the first call, since the import costs
 * more than the whole start of `troupe ps`.
 */
import type { Result } from 'execa'
import { Fault } from '../protocol/faults.ts'
import { descendantsOf } from './proc.ts'

export interface RunOptions {
  /** the program and all that it started are killed after this long */
  timeoutMs: number
  /** the whole environment of the program; default: ours */
  env?: Readonly<Record<string, string | undefined>>
  cwd?: string
  /** written to its stdin, which is empty otherwise */
  input?: string
  /** a program that writes more than this to stdout or to stderr is ended */
  outputBytesMax?: number
  /** aborted: the program and all that it started are killed */
  signal?: AbortSignal
}

export interface Output {
  stdout: string
  stderr: string
}

/** Why a helper program failed. `exit` and `signal` say more; the others are ours. */
export type RunFailure = 'not-started' | 'exit' | 'signal' | 'timeout' | 'aborted' | 'output'

const OUTPUT_BYTES_MAX = 2 ** 20
const LAST_LINES = 10
const LINE_CHARS_MAX = 500

/** Process groups of the programs that run now. */
const groups = new Set<number>()
let endsWithUs = false

/**
 * @param argv  the program, looked up in the PATH of `env`, and its arguments; never a shell string
 * @throws {Fault} FAILED when its exit is not 0; `data` is `{ program, reason, exit, signal, lastLines }`
 */
export async function runProgram(argv: readonly string[], options: RunOptions): Promise<Output> {
  const { fault, ...output } = await tryProgram(argv, options)
  if (fault !== null) throw fault
  return output
}

/** As `runProgram`, for whom what a program said before it failed is worth something, too. Never rejects. */
export async function tryProgram(
  argv: readonly string[],
  options: RunOptions,
): Promise<Output & { fault: Fault | null }> {
  const { timeoutMs, env = process.env, cwd, input, signal, outputBytesMax = OUTPUT_BYTES_MAX } = options
  const { execa } = await import('execa')
  if (signal?.aborted) {
    const fault = failure(argv, 'aborted', 'was not started: given up by the caller')
    return { stdout: '', stderr: '', fault }
  }
  const limit = AbortSignal.timeout(timeoutMs)
  const child = execa(argv[0]!, argv.slice(1), {
    env,
    extendEnv: false,
    ...(cwd !== undefined && { cwd }),
    ...(input === undefined ? { stdin: 'ignore' as const } : { input }),
    // a group of its own: one signal then ends all that stayed in it, whoever its parent is by then
    detached: true,
    maxBuffer: outputBytesMax,
    stripFinalNewline: false,
    reject: false,
  })
  const { pid } = child
  let stopped: 'timeout' | 'aborted' | null = null
  const stop = (): void => {
    stopped = limit.aborted ? 'timeout' : 'aborted'
    if (pid !== undefined) endTree(pid)
    // a process that escaped may hold the pipes: nobody waits for it
    child.stdout?.destroy()
    child.stderr?.destroy()
  }
  const stops = signal === undefined ? limit : AbortSignal.any([limit, signal])
  stops.addEventListener('abort', stop, { once: true })
  if (pid !== undefined) holdGroup(pid)
  const ran = await child
  stops.removeEventListener('abort', stop)
  if (pid !== undefined) groups.delete(pid)
  if (ran.isMaxBuffer && pid !== undefined) killGroup(pid)
  const said = { stdout: String(ran.stdout ?? ''), stderr: String(ran.stderr ?? '') }
  return { ...said, fault: ran.failed || stopped !== null ? faultOf(argv, options, ran, stopped) : null }
}

function faultOf(
  argv: readonly string[],
  { timeoutMs, outputBytesMax = OUTPUT_BYTES_MAX }: RunOptions,
  ran: Result,
  stopped: 'timeout' | 'aborted' | null,
): Fault {
  const more = { exit: ran.exitCode ?? null, signal: ran.signal ?? null, lastLines: lastLinesOf(ran) }
  if (ran.isMaxBuffer) {
    const text = `wrote more than ${outputBytesMax} bytes and was ended; the rest is cut`
    return failure(argv, 'output', text, more)
  }
  if (stopped === 'aborted') return failure(argv, stopped, 'was killed: given up by the caller', more)
  if (stopped === 'timeout')
    return failure(argv, stopped, `did not end within ${timeoutMs} ms and was killed`, more)
  const last = more.lastLines.at(-1)
  const words = last === undefined ? '' : `: ${last}`
  if (ran.exitCode !== undefined)
    return failure(argv, 'exit', `ended with exit code ${ran.exitCode}${words}`, more)
  if (ran.signal !== undefined) return failure(argv, 'signal', `was ended by ${ran.signal}${words}`, more)
  return failure(argv, 'not-started', `cannot be run: ${ran.originalMessage ?? ran.code ?? 'unknown'}`, {
    ...more,
    cause: ran.cause,
  })
}

function failure(
  [program]: readonly string[],
  reason: RunFailure,
  text: string,
  {
    cause,
    ...more
  }: { exit?: number | null; signal?: string | null; lastLines?: string[]; cause?: unknown } = {},
): Fault {
  return new Fault('FAILED', `'${program}' ${text}`, {
    data: { program, reason, exit: null, signal: null, lastLines: [], ...more },
    cause,
  })
}

/** Of stderr, else of stdout: there it says why. */
function lastLinesOf({ stdout = '', stderr = '' }: { stdout?: unknown; stderr?: unknown }): string[] {
  const text = [stderr, stdout].map(String).find((said) => said.trim() !== '') ?? ''
  return text
    .trim()
    .split('\n')
    .slice(-LAST_LINES)
    .map((line) => line.slice(0, LINE_CHARS_MAX))
    .filter((line) => line !== '')
}

/** A group of its own does not hear our terminal's Ctrl-C, so it has to end when we end. */
function holdGroup(pid: number): void {
  groups.add(pid)
  if (endsWithUs) return
  endsWithUs = true
  process.on('exit', () => groups.forEach(killGroup))
}

function killGroup(pid: number): void {
  kill(-pid)
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL')
  } catch {
    // ESRCH: it ended by itself
  }
}

/**
 * Kill a program, its group, and what left the group but is still below it. Only a daemon that left both its
 * group and its parents is out of reach.
 *
 * @param readsProc  Linux. Its `ps`, which tree-kill asks there, reads /proc: without /proc only the group
 *                   can be found
 */
export function endTree(pid: number, readsProc: boolean = process.platform === 'linux'): void {
  if (readsProc) {
    const below = descendantsOf(pid).map((stat) => stat.pid)
    killGroup(pid)
    below.forEach(kill)
    return
  }
  // the group goes last: tree-kill finds children by their parents, which have to live until then
  void import('tree-kill').then(({ default: treeKill }) => treeKill(pid, 'SIGKILL', () => killGroup(pid)))
}
