/**
 * The contract suite over the Linux host: with the C shim, with its Python twin, with and without cgroups.
 */
import { afterAll, beforeAll } from 'vitest'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { findCgroups } from '../../src/process/cgroup.ts'
import {
  linuxHost,
  misbehave,
  processesOf,
  removeDirectory,
  shims,
  sweepProcesses,
  temporaryDirectory,
} from '../support/linux-host.ts'
import { processHostContract, type HostUnderTest, type Programs } from './process-host.contract.ts'

const directory = temporaryDirectory()
let built: Record<'c' | 'python', string[]>
beforeAll(async () => {
  built = await shims(directory)
})
afterAll(() => removeDirectory(directory))

const programs: Programs = {
  exits: (code) => ['sh', '-c', `exit ${code}`],
  stays: ['sleep', '3600'],
  stubborn: ['sh', '-c', 'trap "" TERM; echo ready; exec sleep 3600'],
  leavesOne: (code) => misbehave('leave-daemon', String(code)),
  killsItself: ['sh', '-c', 'kill -KILL $$'],
  saves: [
    'sh',
    '-c',
    'trap "printf saved; exit 0" TERM; echo saved >&2; echo ready; while :; do sleep 0.01; done',
  ],
  missing: ['no-such-program-anywhere'],
}

function make(shim: 'c' | 'python', cgroups: boolean) {
  return async (): Promise<HostUnderTest> => {
    const spoolDir = join(directory, `spool-${process.hrtime.bigint()}`)
    const hosts = [linuxHost(spoolDir, built[shim], { cgroups })]
    await hosts[0]!.recover()
    return {
      host: hosts[0]!,
      programs,
      // within one process the lock is given up; an agent that is really killed is
      // tests/integration/host-killed.test.ts
      async restart() {
        await hosts.at(-1)!.close()
        hosts.push(linuxHost(spoolDir, built[shim], { cgroups }))
        return hosts.at(-1)!
      },
      alive: (forkId) => processesOf(spoolDir, forkId).length,
      async settled(forkId) {
        const log = join(hosts.at(-1)!.logDir(forkId), 'stdout')
        for (
          const end = Date.now() + 10_000;
          !existsSync(log) || readFileSync(log, 'utf8') !== 'ready\n';
          await sleep(5)
        )
          if (Date.now() > end) throw new Error(`${forkId} does not say that it is ready`)
      },
      async dispose() {
        await hosts.at(-1)!.close()
        sweepProcesses(spoolDir)
        removeDirectory(spoolDir)
      },
    }
  }
}

processHostContract('the Linux host with the C shim', make('c', false))
processHostContract('the Linux host with the Python shim', make('python', false))
if (findCgroups('test') !== null) processHostContract('the Linux host with cgroups', make('c', true))
