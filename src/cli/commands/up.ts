/**
 * `troupe up`: bus, coordinator and agents here; attached it watches them until Ctrl-C, which takes
 * everything down.
 */
import { isFault } from '../../protocol/faults.ts'
import { takeDown } from '../../fleet/down.ts'
import { homeLayout, ownName, ownProgram } from '../../fleet/home.ts'
import { prepareLayout } from '../../fleet/layout.ts'
import { listPresent } from '../../fleet/presence.ts'
import { closeInherited } from '../../fleet/spawn.ts'
import { takeUpLock } from '../../fleet/up-lock.ts'
import { bringUp, readWanted, type UpInfo, type UpOptions } from '../../fleet/up.ts'
import { watchFleet } from '../../fleet/watch.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { countOption, durationOption } from '../frame/options.ts'
import { untilInterrupted } from '../frame/signals.ts'

const DAY_MS = 24 * 3600 * 1000
const LOCK_MS = 180_000
const INTERRUPTED = 130

interface Flags {
  agents?: number
  detach?: boolean
  idleEnd?: number
}

export const command: CliCommand = {
  name: 'up',
  summary: 'start a fleet here: bus, coordinator, agents; again: what is missing',
  register(program, io) {
    verb(program, 'up', command.summary)
      .option('--agents <n>', 'how many node agents (default: as before, else 1)', countOption)
      .option('--detach', 'return when all is ready; it ends after 24 h without runs')
      .option('--idle-end <time>', 'detached: end after so long without runs (default 24h)', durationOption)
      .action((flags: Flags) => up(io, flags))
  },
}

async function up(io: Io, flags: Flags): Promise<void> {
  const detached = flags.detach === true
  const signal = untilInterrupted(() =>
    io.stderr('already ending: waiting until nothing is left', { always: true }),
  )
  // `up | head` must not leave what it has started without its watcher
  io.outliveStdout()
  closeInherited()
  const env = io.env as NodeJS.ProcessEnv
  const [layout, user] = [homeLayout(env), ownName()]
  const say = (line: string): void => io.stderr(line)
  await prepareLayout(layout)

  const release = await takeUpLock(layout.upLock, 'up', LOCK_MS, (holder) => say(`waiting for ${holder}`))
  let options: UpOptions
  try {
    const before = await readWanted(layout)
    const wanted = {
      agents: flags.agents ?? before?.agents ?? 1,
      idleEndMs: detached ? (flags.idleEnd ?? before?.idleEndMs ?? DAY_MS) : null,
    }
    options = {
      layout,
      user,
      wanted,
      also: flags.agents === undefined ? 'untold' : 'live',
      troupe: ownProgram(),
      env,
      signal,
      say,
    }
    const others = (await listPresent(layout.presence)).length > 0
    try {
      show(io, await bringUp(options), detached)
    } catch (error) {
      if (!isFault(error, 'CANCELLED')) throw error
      if (others && detached) say('interrupted; what was up before stays up')
      else {
        await takeDown({ layout, user, keepWorkers: false, say })
        io.stderr('interrupted; nothing is left running', { always: true })
      }
      return io.setExit(INTERRUPTED)
    }
  } finally {
    release()
  }
  if (detached) return

  if ((await watchFleet(options)) === 'down') return say('the fleet was taken down')
  say(`${String(signal.reason)}: taking the fleet down`)
  const releaseAgain = await takeUpLock(layout.upLock, 'up', LOCK_MS)
  try {
    await takeDown({ layout, user, keepWorkers: false, say })
  } finally {
    releaseAgain()
  }
  io.stderr('nothing is left running', { always: true })
}

function show(io: Io, info: UpInfo, detached: boolean): void {
  if (io.json) return io.printJson(info)
  if (io.quiet) return io.stdout(`${info.context}\n`)
  const parts: [string, number][] = [
    ['bus', info.pids.bus],
    ['coordinator', info.pids.coordinator],
    ...Object.entries(info.pids.agents).map(([node, pid]): [string, number] => [`agent ${node}`, pid]),
  ]
  for (const [part, pid] of parts) io.stdout(`${part.padEnd(14)}  ${pid}\n`)
  io.stderr(`fleet ${info.fleet} is up at ${info.url}, context ${info.context}`)
  io.stderr(
    detached
      ? 'next: troupe run -- hostname; troupe nodes; troupe down'
      : 'Ctrl-C takes it down. Next, elsewhere: troupe run -- hostname; troupe nodes',
  )
}
