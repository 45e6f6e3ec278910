/**
 * `troupe up`: bus, coordinator and agents here; attached it watches them until Ctrl-C, which ends what it
 * started: the whole fleet, or beside a fleet that it found nothing but what was missing.
 */
import { resolve } from 'node:path'
import { Fault, isFault } from '../../protocol/faults.ts'
import type { ListenRequest } from '../../fleet/bus-address.ts'
import { takeDown } from '../../fleet/down.ts'
import { takeTenant } from '../../fleet/foreign-bus.ts'
import { homeLayout, layoutOfContext, ownName, ownProgram } from '../../fleet/home.ts'
import { keyWarnings } from '../../fleet/key-warnings.ts'
import { prepareLocal, type FleetLayout } from '../../fleet/layout.ts'
import { findParts, leaveFleet, startedBeside, type Found } from '../../fleet/leave.ts'
import { closeInherited } from '../../fleet/spawn.ts'
import { hostOf, parseListen } from '../../fleet/listen.ts'
import { readTenant, type TenantFile } from '../../fleet/tenants.ts'
import { takeUpLock } from '../../fleet/up-lock.ts'
import { bringUp, type UpInfo, type UpOptions } from '../../fleet/up.ts'
import { watchFleet } from '../../fleet/watch.ts'
import { torchOfAgent, type TorchOfAgent } from '../../process/torch-python.ts'
import { DAY_MS } from '../../system/clock.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { countOption, durationOption, listOption } from '../frame/options.ts'
import { untilInterrupted } from '../frame/signals.ts'

const LOCK_MS = 180_000
const INTERRUPTED = 130

interface Flags {
  bus?: string
  agents?: number
  detach?: boolean
  idleEnd?: number
  /** false: --no-listen */
  listen?: string | false
  listenName?: string[]
  cert?: string
  key?: string
  ca?: string
}

export const command: CliCommand = {
  name: 'up',
  summary: 'start a fleet here: bus, coordinator, agents; again: what is missing',
  register(program, io) {
    verb(program, 'up', command.summary)
      .option('--agents <n>', 'how many node agents (default: as before, else 1)', countOption)
      .option('--bus <file>', 'a fleet on the bus of somebody else, who made this file: troupe tenants add')
      .option('--detach', 'return when all is ready; it ends after 24 h without runs')
      .option('--idle-end <time>', 'detached: end after so long without runs (default 24h)', durationOption)
      .option('--listen <addr>', 'reached over the network, with TLS: an address or name, ADDR or ADDR:PORT')
      .option('--no-listen', 'on loopback again, in plain text')
      .option('--listen-name <name>', 'another name of it, in its certificate (repeatable)', listOption)
      .option('--cert <file>', 'a certificate of your own (PEM), rather than one of the fleet’s authority')
      .option('--key <file>', 'its private key')
      .option('--ca <file>', 'what credentials pin; without: authorities that each machine trusts')
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
  const [{ layout, tenant }, user] = [await meantFleet(io, flags.bus), ownName()]
  const say = (line: string): void => io.stderr(line)
  const listen = listenRequest(flags, io.cwd)
  await prepareLocal(layout.dir)

  const release = await takeUpLock(layout.upLock, 'up', LOCK_MS, (holder) => say(`waiting for ${holder}`))
  let options: UpOptions
  let found: Found
  try {
    if (tenant !== null) await takeTenant(layout, tenant)
    found = await findParts(layout)
    const before = found.wanted
    const kept = found.parts.size > 0 ? (before?.idleEndMs ?? null) : null
    const wanted = {
      agents: flags.agents ?? before?.agents ?? 1,
      idleEndMs: detached ? (flags.idleEnd ?? before?.idleEndMs ?? DAY_MS) : kept,
    }
    options = {
      layout,
      user,
      wanted,
      listen,
      also: flags.agents === undefined ? 'untold' : 'live',
      troupe: ownProgram(),
      env,
      signal,
      say,
    }
    try {
      const torch = torchOfAgent(env, '/')
      const info = await bringUp(options)
      for (const line of await keyWarnings(layout, Date.now())) say(line)
      show(
        io,
        info,
        await torch,
        detached ? AFTER_DETACH : atInterrupt(found, await startedBeside(layout, found)),
      )
    } catch (error) {
      if (!isFault(error, 'CANCELLED')) throw error
      await end(io, options, found, 'interrupted')
      return io.setExit(INTERRUPTED)
    }
  } finally {
    release()
  }
  if (detached) return

  if ((await watchFleet(options)) === 'down') return say('the fleet was taken down')
  const releaseAgain = await takeUpLock(layout.upLock, 'up', LOCK_MS)
  try {
    await end(io, options, found, String(signal.reason))
  } finally {
    releaseAgain()
  }
}

/**
 * The fleet of a tenant's file, or that of `--context`, or the one whose bus is this home's own.
 *
 * @throws {Fault} USAGE for a file that is none, CONN for a context that is not of a fleet of this home
 */
async function meantFleet(
  io: Io,
  bus: string | undefined,
): Promise<{ layout: FleetLayout; tenant: TenantFile | null }> {
  const env = io.env as NodeJS.ProcessEnv
  if (bus !== undefined) {
    const tenant = await readTenant(resolve(io.cwd, bus))
    return { layout: homeLayout(env, tenant.fleet), tenant }
  }
  if (io.context === undefined) return { layout: homeLayout(env), tenant: null }
  const layout = await layoutOfContext(env, io.context)
  if (layout === null)
    throw new Fault('CONN', `the context '${io.context}' is not of a fleet of this home`, {
      hint: 'which there are: troupe context list',
    })
  return { layout, tenant: null }
}

/** What the flags say of the bus's address; files are meant from where they are typed. */
function listenRequest({ bus, listen, listenName, cert, key, ca }: Flags, cwd: string): ListenRequest {
  if (bus !== undefined && [listen, listenName, cert, key, ca].some((flag) => flag !== undefined))
    throw new Fault('USAGE', 'where the bus of somebody else listens is not said here')
  if ((cert === undefined) !== (key === undefined) || (ca !== undefined && cert === undefined))
    throw new Fault('USAGE', 'a certificate is given with its key', {
      hint: 'write: --cert FILE --key FILE, and --ca FILE for an authority of your own',
    })
  if (listen === false && (cert !== undefined || listenName !== undefined))
    throw new Fault('USAGE', '--no-listen has no certificate and no names')
  const names = listenName?.map((text) => {
    const name = hostOf(text)
    if (name === null) throw new Fault('USAGE', `--listen-name '${text}' is no host name and no address`)
    return name
  })
  const at = listen === undefined ? undefined : listen === false ? null : parseListen(listen)
  return {
    ...(at !== undefined && { at }),
    ...(names !== undefined && { names }),
    ...(cert !== undefined && {
      given: {
        cert: resolve(cwd, cert),
        key: resolve(cwd, key!),
        ca: ca === undefined ? null : resolve(cwd, ca),
      },
    }),
  }
}

/** What was started ends, what was found stays. */
async function end(io: Io, { layout, user, say }: UpOptions, found: Found, why: string): Promise<void> {
  if (found.parts.size === 0) {
    say(`${why}: taking the fleet down`)
    await takeDown({ layout, user, keepWorkers: false, say })
    return io.stderr(`${why}; nothing is left running`, { always: true })
  }
  const ended = await leaveFleet({ layout, user, say }, found)
  const ending = ended.length === 0 ? '' : `ended ${ended.join(', ')}; `
  io.stderr(`${why}; ${ending}still up: ${[...found.parts].join(', ')}. end it: troupe down`, {
    always: true,
  })
}

const AFTER_DETACH = 'next: troupe run -- hostname; troupe nodes; troupe down'
const ELSEWHERE = 'next, elsewhere: troupe run -- hostname; troupe nodes'

function atInterrupt({ parts }: Found, started: readonly string[]): string {
  if (parts.size === 0) return `Ctrl-C takes it down; ${ELSEWHERE}`
  const ends = started.length === 0 ? '' : `ends ${started.join(', ')} and `
  return `It was up before: Ctrl-C ${ends}leaves ${[...parts].join(', ')}; end it: troupe down; ${ELSEWHERE}`
}

function show(io: Io, info: UpInfo, { python, without }: TorchOfAgent, next: string): void {
  if (io.json) return io.printJson({ ...info, torchPython: python })
  if (io.quiet) return io.stdout(`${info.context}\n`)
  const parts: [string, number][] = [
    ...(info.pids.bus === null ? [] : [['bus', info.pids.bus] as [string, number]]),
    ['coordinator', info.pids.coordinator],
    ...Object.entries(info.pids.agents).map(([node, pid]): [string, number] => [`agent ${node}`, pid]),
  ]
  for (const [part, pid] of parts) io.stdout(`${part.padEnd(14)}  ${pid}\n`)
  io.stderr(`fleet ${info.fleet} is up at ${info.url}, context ${info.context}`)
  if (without !== null)
    io.stderr(
      python === null
        ? `no Python here has torch (${without} has none): a torchrun role has to name one, venv: DIR`
        : `torchrun roles that name no Python get ${python}: ${without} has no torch`,
    )
  io.stderr(next)
}
