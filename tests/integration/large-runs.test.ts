/**
 * Runs and nodes that were too large for one message: seen, stopped and proven on a real server.
 */
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { RunStatus } from '../../src/protocol/shapes.ts'
import { readCredentials } from '../../src/system/contexts.ts'
import { messengerOn } from '../../src/transport/messenger.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { startFleet, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet()
})
afterAll(() => fleet.end())

async function launch(document: Record<string, unknown>): Promise<string> {
  const file = join(fleet.home, 'launch.json')
  await writeFile(file, JSON.stringify({ apiVersion: 'troupe/v1', ...document }))
  return (await fleet.json<{ run: string }>(['launch', '-f', file])).run
}
async function linesOf(file: string): Promise<number> {
  return (await readFile(file, 'utf8').catch(() => '')).split('\n').length - 1
}

test('20,000 workers that wait: a JSON client sees them in pages, and a kill is proven', async () => {
  const task = { kind: 'task', command: ['sleep', '600'] }
  const run = await launch({
    name: 'many',
    roles: { a: task, b: { ...task, replicas: 19_999, dependsOn: { a: 'done' } } },
  })
  const credentials = (await readCredentials(fleet.info.credentials.client))!
  const bus = await connectNats({ servers: fleet.info.url, credentials, name: 'a plain client' })
  try {
    const { ask } = messengerOn(bus, fleet.info.fleet, 'json')
    const workers = new Set<string>()
    let pages = 0
    for (let from: string | null | undefined; from !== null; pages++) {
      const { user } = fleet.info
      const page = await ask(
        'coordinator.status',
        { user },
        { run, ...(from !== undefined && { from }) },
        { timeoutMs: 10_000 },
      )
      for (const { worker } of page.workers) workers.add(worker)
      from = page.next
    }
    expect(workers.size).toBe(20_000)
    expect(pages).toBeGreaterThan(10)
  } finally {
    await bus.close()
  }
  const { receipts } = await fleet.json<{ receipts: { worker: string }[] }>(['kill', run])
  expect(receipts.map(({ worker }) => worker)).toContain(`${run}/a/0`)
  const status = await fleet.json<RunStatus>(['status', run])
  expect(status).toMatchObject({ state: 'cancelled', workers: { length: 20_000 } })
})

test('330 workers end with full last words while no coordinator is there: the next one knows every exit', async () => {
  const [go, tail, done] = ['go', 'tail', 'done'].map((name) => join(fleet.home, name)) as [
    string,
    string,
    string,
  ]
  await writeFile(tail, `${'e'.repeat(325)}\n`.repeat(50))
  const script = `while [ ! -e ${go} ]; do sleep 2; done; cat ${tail} >&2; echo >> ${done}; exit 3`
  const run = await launch({
    name: 'words',
    roles: {
      w: { kind: 'task', replicas: 330, failFast: false, command: ['sh', '-c', script] },
    },
  })
  expect(await fleet.troupe(['wait', run, '--for', 'running', '--timeout', '80s'])).toMatchObject({ code: 0 })
  process.kill(fleet.info.pids.coordinator, 'SIGKILL')
  await appendFile(go, '')
  while ((await linesOf(done)) < 330) await sleep(100)
  await fleet.repair()
  expect(await fleet.troupe(['wait', run, '--timeout', '60s'])).toMatchObject({ code: 3 })
  const { workers } = await fleet.json<RunStatus>(['status', run])
  expect(workers.filter((worker) => worker.exit?.code === 3 && worker.receipt !== null)).toHaveLength(330)
  const [node] = await fleet.json<{ reason: string | null; cpus: number }[]>(['nodes'])
  expect(node).toMatchObject({ reason: null })
}, 240_000)
