/**
 * `troupe run -f FILE` or `troupe run -- CMD`: launches, follows, and passes the exit code on.
 *
 * It is attached, like `docker run`: the first Ctrl-C (or SIGTERM) stops the run by its ladder and waits for
 * the receipts, the second kills it, the third leaves it to itself; neither wait is without end. The code is
 * then 130. A terminal that closes (SIGHUP) detaches: the run goes on. `--detach` does so from the start. A
 * single worker's output is passed through as it is; of several each line says whose it is.
 */
import type { Launched } from '../../client/launch.ts'
import type { WaitResult } from '../../client/wait.ts'
import type { Troupe } from '../../client/troupe.ts'
import { Fault, isFault } from '../../protocol/faults.ts'
import type { Launch } from '../../protocol/launch/resolved.ts'
import { askedDocument, askedOptions, type AskedFlags } from '../document/asked-document.ts'
import { asking, verb, type CliCommand } from '../frame/command.ts'
import type { ReadDocument } from '../document/document.ts'
import { interruptions, type Interruptions } from '../frame/interruptions.ts'
import type { Io } from '../frame/io.ts'
import { launchAndLeave, launchOptions, sayLaunched } from './launch.ts'
import { sayNext } from '../frame/next-steps.ts'
import type { Copied } from '../render/log-copy.ts'
import { writeLog } from '../render/log.ts'
import { otherPython } from '../render/other-python.ts'
import { leftLines, savedLines } from '../render/ends.ts'
import { failureBlock } from '../render/status.ts'
import { durationText } from '../render/text.ts'
import { watcher } from '../frame/watcher.ts'
import { withTroupe } from '../frame/with-troupe.ts'

/** A run that has said nothing for so long is worth a word of ours. */
const QUIET_MAX_MS = 25_000
/** How long after a kill its receipts are waited for; after a stop they have the ladders' time, too. */
const KILLED_MS = 20_000
const HUNG_UP = 129

type Flags = AskedFlags & { out?: string; detach?: boolean }

export const command: CliCommand = {
  name: 'run',
  summary: 'launch, follow, and exit with the run’s code; Ctrl-C stops it',
  register(program, io) {
    askedOptions(asking(verb(program, 'run [command...]', this.summary)))
      .option('-d, --detach', 'print the id when the run is accepted, and leave it')
      .option('--out <dir>', 'keep a copy of the logs there')
      .action(async (argv: string[], flags: Flags) => {
        const read = await askedDocument(io, 'run', argv, flags)
        if (flags.detach === true) {
          if (flags.out !== undefined)
            throw new Fault('USAGE', `--out ${flags.out} needs somebody who stays; --detach leaves`, {
              hint: 'copy the logs of a run by: troupe logs -f RUN --out DIR',
            })
          return withTroupe(io, (troupe) => launchAndLeave(io, troupe, read, flags))
        }
        if (flags.out !== undefined)
          await (await import('../render/log-copy.ts')).prepareCopies(io.cwd, flags.out)
        io.outliveStdout()
        await withTroupe(io, (troupe) => attached(io, troupe, read, flags))
      })
  },
}

async function attached(io: Io, troupe: Troupe, read: ReadDocument, flags: Flags): Promise<void> {
  const interrupts = interruptions()
  const left = new AbortController()
  try {
    const launched = await launchUnlessInterrupted(io, troupe, read, flags, interrupts)
    if (launched === null) return io.setExit(130)
    const { run } = launched
    sayLaunched(io, launched)
    io.stderr(`run ${run}`)
    const told = sayRestarts(io, troupe, run, left.signal)
    if (flags.file !== '-') void io.sayUnreadStdin()
    const { shown, quietMs } = showLogs(io, troupe, run, read, left.signal)
    const copied = flags.out === undefined ? null : keepLogs(io, troupe, run, flags.out, left.signal)
    const { onStatus, onTrouble } = watcher(io, 'running')
    let note: string | undefined
    const waited = troupe.wait(run, {
      signal: left.signal,
      onTrouble,
      // while it runs its own output is what there is to see, but a long silence is worth a word
      onStatus(status) {
        if (note === undefined && status.note !== undefined) io.stderr(status.note)
        note ??= status.note
        if (status.state !== 'running' || (!io.errTty && quietMs() > QUIET_MAX_MS)) onStatus?.(status)
      },
    })
    // both may fail while nobody waits for them yet
    for (const promise of [told, shown, copied, waited]) promise?.catch(() => {})
    interrupts.onHangup(() => {
      io.stderr(`hang-up: ${run} goes on; come back with: troupe logs -f ${run}`, { always: true })
      left.abort(HUNG_UP)
    })
    const boundMs = longestStopMs(read.launch) + KILLED_MS
    interrupts.onInterrupt((count) => void interrupted(io, troupe, run, { count, left, boundMs }))
    const result = await orLeft(waited, left.signal)
    if (result === null) {
      io.setExit(left.signal.reason === HUNG_UP ? HUNG_UP : 130)
      return sayNext(io, run, ['logs -f', 'status', 'stop'])
    }
    const files = await endOfLogs(io, shown, copied)
    io.status(null)
    await report(io, result, run)
    if (files !== null) (await import('../render/log-copy.ts')).sayFiles(io, files)
    if (!io.json) sayNext(io, run, result.code === 0 ? ['status', 'logs'] : ['status', 'explain', 'logs'])
  } finally {
    left.abort()
    interrupts.close()
  }
}

/** @returns null when we were interrupted before the launch was answered */
async function launchUnlessInterrupted(
  io: Io,
  troupe: Troupe,
  { document }: ReadDocument,
  flags: Flags,
  interrupts: Interruptions,
): Promise<Launched | null> {
  const launching = new AbortController()
  interrupts.onInterrupt(() => launching.abort())
  try {
    return await troupe.launch(document, { ...launchOptions(io, flags), signal: launching.signal })
  } catch (error) {
    if (!launching.signal.aborted || !isFault(error)) throw error
    // it may have been taken all the same: the key tells
    io.stderr(`interrupted before the launch was answered: ${error.message}`, { always: true })
    if (error.hint !== undefined) io.stderr(`  ${error.hint}`, { always: true })
    return null
  }
}

/** Write the run's output as it comes; `quietMs` is how long nothing came. */
function showLogs(
  io: Io,
  troupe: Troupe,
  run: string,
  { launch }: ReadDocument,
  signal: AbortSignal,
): { shown: Promise<void>; quietMs(): number } {
  const workers = launch.roles.reduce((sum, role) => sum + role.replicas, 0)
  const prefix = workers > 1 || launch.roles[0]!.kind === 'torchrun'
  let quietSince = Date.now()
  const show = async (): Promise<void> => {
    for await (const item of troupe.logs(run, { follow: true, signal })) {
      quietSince = Date.now()
      writeLog(io, item, { prefix, stderrOnly: io.json })
      await io.drained()
    }
  }
  return { shown: show(), quietMs: () => Date.now() - quietSince }
}

/** Each restart is a line: why, and when the next attempt begins. */
async function sayRestarts(io: Io, troupe: Troupe, run: string, signal: AbortSignal): Promise<void> {
  for await (const event of troupe.watch(run, { own: true, signal }))
    if (event.what === 'restart' && 'state' in event && event.reason !== null)
      io.stderr(io.paint('yellow', event.reason, 'stderr'))
}

async function keepLogs(
  io: Io,
  troupe: Troupe,
  run: string,
  out: string,
  signal: AbortSignal,
): Promise<Copied> {
  const { copyLogs } = await import('../render/log-copy.ts')
  return copyLogs(troupe.logs(run, { follow: true, chunks: true, signal }), io.cwd, out)
}

/** @returns null once the run was left to itself */
function orLeft<T>(promise: Promise<T>, left: AbortSignal): Promise<T | null> {
  return Promise.race([
    promise,
    new Promise<null>((resolve) => left.addEventListener('abort', () => resolve(null))),
  ])
}

/** The exit code does not hang on the last log line: a fault there is said and nothing more. */
async function endOfLogs<T>(io: Io, shown: Promise<void>, copied: Promise<T> | null): Promise<T | null> {
  const [lines, files] = await Promise.allSettled([shown, copied])
  for (const outcome of [lines, files])
    if (outcome.status === 'rejected')
      io.stderr(`logs: ${(outcome.reason as Error).message}`, { always: true })
  return files.status === 'fulfilled' ? files.value : null
}

async function report(io: Io, { status, code }: WaitResult, run: string): Promise<void> {
  for (const line of failureBlock(status).split('\n'))
    if (line !== '') io.stderr(io.paint('red', line, 'stderr'), { always: true })
  const other = otherPython(status.firstFailure?.stderrTail ?? [], io.env['PATH'])
  if (other !== null) io.stderr(other, { always: true })
  const { queuedMs, startMs, runMs } = status.clocks
  io.stderr(
    `${run} ${status.state}${status.reason === null ? '' : ` (${status.reason})`}: ` +
      `queued ${durationText(queuedMs)}, start ${durationText(startMs)}, run ${durationText(runMs)}`,
  )
  for (const line of [...savedLines(status), ...leftLines(status)]) io.stderr(line)
  const unproven = status.workers.filter(
    (worker) => worker.receipt !== null && worker.receipt.outcome !== 'gone',
  )
  for (const worker of unproven)
    io.stderr(
      io.paint('yellow', `${worker.worker}: not proven gone (${worker.receipt!.outcome})`, 'stderr'),
      { always: true },
    )
  if (io.json) io.printJson({ run, state: status.state, code, reason: status.reason })
  io.setExit(code)
}

/** All roles one after the other: how long their ladders may take. */
function longestStopMs({ roles }: Launch): number {
  return roles.reduce((sum, { stop, preStop }) => sum + stop.graceMs + (preStop?.timeoutMs ?? 0), 0)
}

interface Interrupted {
  /** how often it was interrupted */
  count: number
  /** aborted when the run is left to itself */
  left: AbortController
  /** how long a stop may take */
  boundMs: number
}

async function interrupted(
  io: Io,
  troupe: Troupe,
  run: string,
  { count, left, boundMs }: Interrupted,
): Promise<void> {
  if (count > 2) {
    io.stderr(`leaving ${run} to itself`, { always: true })
    return left.abort()
  }
  const how = count === 1 ? 'stop' : 'kill'
  io.stderr(
    count === 1 ? `stopping ${run}; again to kill it` : `killing ${run}; again to leave it to itself`,
    { always: true },
  )
  const timeoutMs = count === 1 ? boundMs : KILLED_MS
  const giveUp = setTimeout(() => {
    io.stderr(
      `leaving ${run} to itself: no end of it was heard ${durationText(timeoutMs)} after the ${how}`,
      {
        always: true,
      },
    )
    left.abort()
  }, timeoutMs)
  left.signal.addEventListener('abort', () => clearTimeout(giveUp))
  await troupe[how](run, { signal: left.signal }).catch((error: unknown) => {
    if (isFault(error) && !left.signal.aborted) io.stderr(`${how}: ${error.message}`, { always: true })
  })
}
