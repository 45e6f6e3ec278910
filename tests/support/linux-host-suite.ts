/**
 * What the files of tests/contracts/linux-host share: one Linux host with the C shim on a spool that is new
 * for each test. The names are live: `host`, `events` and `spoolDir` are those of the test that runs.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, beforeEach } from 'vitest'
import type { LinuxHostOptions } from '../../src/process/host-state.ts'
import type { ProcessHost } from '../../src/process/process-host.ts'
import { readRecord } from '../../src/process/records.ts'
import { buildShim } from '../../src/process/shim/build.ts'
import { fileOf, forkDirOf } from '../../src/process/spool.ts'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'
import { descendantsOf, isDead, readAll, readCommand, type ProcStat } from '../../src/system/proc.ts'
import {
  installMisbehave,
  linuxHost,
  listenTo,
  removeDirectory,
  sweepProcesses,
  temporaryDirectory,
  TREES,
} from './linux-host.ts'
import { forkSpec, NO_BINDINGS } from './spec.ts'

export const directory = temporaryDirectory()
export const misbehave = installMisbehave(directory)
export const programs = new URL('programs/', import.meta.url).pathname
export let shim: string[]
export let spoolDir: string
export let host: ProcessHost
export let events: ReturnType<typeof listenTo>

beforeAll(async () => {
  shim = (await buildShim(directory)).argv
})
afterAll(() => removeDirectory(directory))
beforeEach(() => putSpool(join(directory, `spool-${process.hrtime.bigint()}`)))
afterEach(async () => {
  await host.close()
  sweepProcesses(spoolDir)
  for (const { pid } of misbehaving()) process.kill(pid, 'SIGKILL')
  removeDirectory(spoolDir)
})

/** The spool of this test stands elsewhere. */
export function putSpool(path: string): void {
  spoolDir = path
}

/** Open the spool as an agent does: `host` and `events` are the new ones. */
export function open(more: Partial<LinuxHostOptions> = {}, argv = shim) {
  host = linuxHost(spoolDir, argv, more)
  events = listenTo(host)
  return host.recover()
}

export async function start(spec: ForkSpec) {
  await host.prepare([spec])
  return host.start(spec.forkId, NO_BINDINGS)
}

export function recordOf(forkId: string) {
  return readRecord(fileOf.record(forkDirOf(spoolDir, forkId)))
}

export function logOf(forkId: string, source: string): string {
  const file = join(host.logDir(forkId), source)
  return existsSync(file) ? readFileSync(file, 'utf8') : ''
}

export function living(stats: ProcStat[]): ProcStat[] {
  return stats.filter((stat) => !isDead(stat))
}

/**
 * Fixture programs of this file that are alive anywhere: for those that hide from every other look (all but
 * the one that erases its argv).
 */
export function misbehaving(): ProcStat[] {
  return living(readAll()).filter((stat) =>
    readCommand(stat.pid).some((word) => word.startsWith(`${directory}/misbehave`)),
  )
}

export async function until(holds: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 10_000; !holds(); await sleep(5))
    if (Date.now() > end) throw new Error(`not within 10 s: ${what}`)
}

/** Start a tree of misbehave.py and wait until it is complete. */
export async function startAll(name: keyof typeof TREES): Promise<{ spec: ForkSpec; members: ProcStat[] }> {
  const spec = forkSpec(misbehave(name))
  await start(spec)
  const { processes, said } = TREES[name]
  const members = () => living(descendantsOf(recordOf(spec.forkId).shim!.pid))
  await until(
    () =>
      (name.startsWith('refork') ? members().length >= processes : members().length === processes) &&
      said.test(logOf(spec.forkId, 'stdout')),
    `${name} is complete`,
  )
  return { spec, members: members() }
}
