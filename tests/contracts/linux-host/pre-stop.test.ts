/** The pre-stop call beside a worker. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { isAlive, readAll, readCommand, type ProcStat } from '../../../src/system/proc.ts'
import { processesOf } from '../../support/linux-host.ts'
import {
  directory,
  host,
  living,
  open,
  recordOf,
  spoolDir,
  start,
  until,
} from '../../support/linux-host-suite.ts'
import { forkSpec } from '../../support/spec.ts'

test('the pre-stop call runs beside the worker, with its environment and templates, and never longer than its time [A-07]', async () => {
  await open()
  const out = join(directory, 'pre-stop')
  const spec = forkSpec(['sleep', '3600'], {
    env: { GREETING: 'bye' },
    preStop: {
      kind: 'exec',
      command: ['sh', '-c', `echo "$GREETING $TROUPE_FORK_ID $1" > ${out}; sleep 3600`, 'sh', '${{ index }}'],
      timeoutMs: 500,
    },
  })
  await start(spec)
  const began = performance.now()
  await host.preStop(spec.forkId)
  expect(performance.now() - began).toBeLessThan(2000)
  expect(readFileSync(out, 'utf8')).toBe(`bye ${spec.forkId} 0\n`)
  expect(processesOf(spoolDir, spec.forkId)).toHaveLength(1)
})

test.each([
  ['hangs', 'sleep 3600'],
  ['ends in time', 'true'],
])(
  'a pre-stop call that %s and has put processes into sessions of their own: none of them outlives it [A-07 I3]',
  async (_, last) => {
    await open()
    // a number of this process alone: nobody else's sleep is counted
    const seconds = 1_000_000 + process.pid
    const go = join(directory, `go-${last}`)
    const wait = `while [ ! -e '${go}' ]; do sleep 0.05; done`
    const left = (): ProcStat[] =>
      living(readAll()).filter((stat) => readCommand(stat.pid).join(' ') === `sleep ${seconds}`)
    const spec = forkSpec(['sleep', '3600'], {
      preStop: {
        kind: 'exec',
        command: ['sh', '-c', `setsid sleep ${seconds} & (setsid sleep ${seconds} &); ${wait}; ${last}`],
        timeoutMs: 3000,
      },
    })
    await start(spec)
    const called = host.preStop(spec.forkId)
    await until(() => left().length === 2, 'both are there')
    writeFileSync(go, '')
    await called
    await until(() => left().length === 0, 'both are gone')
    expect(isAlive(recordOf(spec.forkId).child!)).toBe(true)
  },
)
