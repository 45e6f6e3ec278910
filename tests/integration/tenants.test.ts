/** Two fleets on one server [I6]: that of the bus's owner, and a tenant's in a home of its own. */
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readCredentials } from '../../src/system/contexts.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { alive, fleetEnv, run, startFleet, task, TROUPE, until, type Fleet } from '../support/fleet.ts'
import { processesOf } from '../support/fleet-processes.ts'

let dir: string
let owner: Fleet
let tenant: Fleet
let file: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-tenants-'))
  file = join(dir, 'lab.json')
  owner = await startFleet({ agents: 1 })
  const added = await owner.troupe(['tenants', 'add', 'lab', '-o', file])
  expect(added.code, added.stderr).toBe(0)
  tenant = await startFleet({ agents: 1, bus: file })
})
afterAll(async () => {
  await tenant?.end()
  await owner?.end()
  await rm(dir, { recursive: true, force: true })
  for (const { home } of [owner, tenant]) expect(await processesOf(home)).toEqual([])
})

/** @returns the run and its worker's pid */
async function startOn(fleet: Fleet, name: string): Promise<{ run: string; pid: number }> {
  const ran = await fleet.troupe(['launch', '-q', '-f', '-'], {
    input: task(name, ['sh', '-c', `echo of ${fleet.info.fleet}; exec sleep 1000`], { nodelist: ['n0'] }),
  })
  expect(ran.code, ran.stderr).toBe(0)
  const id = ran.stdout.trim()
  expect((await fleet.troupe(['wait', id, '--for', 'running', '--timeout', '30s'])).code).toBe(0)
  return { run: id, pid: (await fleet.json(['status', id])).workers[0].pid }
}
async function ready(fleet: Fleet): Promise<number[]> {
  const nodes = await fleet.json<{ state: string; pid: number }[]>(['nodes'])
  return nodes.filter(({ state }) => state === 'ready').map(({ pid }) => pid)
}

test('a tenant’s fleet comes up on that bus, starts no server, and comes up again as it is', async () => {
  expect(tenant.info).toMatchObject({
    context: 'lab',
    fleet: 'lab',
    url: owner.info.url,
    pids: { bus: null },
  })
  expect((await processesOf(tenant.home)).filter((line) => line.includes('nats-server'))).toEqual([])
  const before = tenant.info
  expect(await tenant.repair()).toEqual(before)
  const byContext = await tenant.troupe(['up', '--context', 'lab', '--detach', '--json'])
  expect(JSON.parse(byContext.stdout)).toEqual(before)
  expect(JSON.parse((await owner.troupe(['tenants', 'list', '--json'])).stdout)).toEqual([
    { fleet: 'lab', own: false },
    { fleet: 'main', own: true },
  ])
})

test('the owner of the bus keeps no key that mints for the tenant', async () => {
  const { signing } = JSON.parse(await readFile(file, 'utf8')) as { signing: Record<string, string> }
  expect((await stat(file)).mode & 0o777).toBe(0o600)
  const kept = await run('grep', [
    '-rlF',
    ...Object.values(signing).flatMap((seed) => ['-e', seed]),
    owner.home,
  ])
  expect(kept.stdout).toBe('')
})

test('two fleets that have a node and a run of one name: nothing of one reaches the other [R-13]', async () => {
  const followed = [owner, tenant].map((fleet) => fleet.start(['events', '-f', '--json']))
  const [ours, theirs] = [await startOn(owner, 'twin'), await startOn(tenant, 'twin')]
  expect([await ready(owner), await ready(tenant)]).toEqual([
    [owner.info.pids.agents['n0']],
    [tenant.info.pids.agents['n0']],
  ])
  for (const [fleet, { run: id }] of [
    [owner, ours],
    [tenant, theirs],
  ] as const) {
    expect((await fleet.json<{ run: string }[]>(['ps', '--all'])).map((one) => one.run)).toEqual([id])
    const logs = await fleet.troupe(['logs', 'twin', '--tail', '10'])
    expect(logs.stdout).toContain(`of ${fleet.info.fleet}`)
    expect(logs.stdout.trim().split('\n')).toHaveLength(1)
  }
  expect((await tenant.troupe(['stop', 'twin'])).code).toBe(0)
  const killed = await startOn(tenant, 'twin')
  expect((await tenant.troupe(['kill', 'twin'])).code).toBe(0)
  expect([await alive(ours.pid), await alive(theirs.pid), await alive(killed.pid)]).toEqual([
    true,
    false,
    false,
  ])
  for (const [i, own] of [[ours], [theirs, killed]].entries()) {
    const said = () => followed[i]!.output().stdout
    await until('its own events are heard', () => own.every(({ run: id }) => said().includes(id)))
    if (ours.run !== theirs.run)
      for (const { run: id } of i === 0 ? [theirs, killed] : [ours]) expect(said()).not.toContain(id)
    followed[i]!.kill('SIGINT')
  }
})

test('a person of one fleet may ask, hear and tell nothing of the other [R-13 FC-21]', async () => {
  const credentials = await readCredentials(owner.info.credentials.client)
  const bus = await connectNats({ servers: owner.info.url, credentials, name: 'a person of main' })
  const refused: string[] = []
  bus.onPermissionViolation(({ operation, subject }) => refused.push(`${operation} ${subject}`))
  try {
    const heard: string[] = []
    const { user } = owner.info
    const subjects = ['troupe.v1.lab.event.>', 'troupe.v1.lab.beat.>', 'troupe.v1.lab.log.>', '>']
    for (const subject of subjects) bus.subscribe(subject, (message) => heard.push(message.subject))
    const asked = ['coordinator.kill', 'coordinator.launch', 'coordinator.list'].map(
      (verb) => `troupe.v1.lab.${verb}.${user}`,
    )
    for (const subject of asked) bus.publish(subject, new TextEncoder().encode('{}'))
    await until('all is refused', () => refused.length >= subjects.length + asked.length)
    await startOn(tenant, 'heard')
    expect(heard).toEqual([])
    expect(refused.map((line) => line.split(' ')[1]).toSorted()).toEqual([...subjects, ...asked].toSorted())
  } finally {
    await bus.close()
  }
})

test('down of one leaves the other and the bus; the workers of the tenant outlive the bus', async () => {
  const [ours, theirs] = [await startOn(owner, 'left'), await startOn(tenant, 'left')]
  const receipts = (await tenant.json(['down'])).receipts as { outcome: string }[]
  expect(receipts.every(({ outcome }) => outcome === 'gone')).toBe(true)
  expect([await alive(ours.pid), await alive(theirs.pid)]).toEqual([true, false])
  expect([await alive(owner.info.pids.bus), await ready(owner)]).toEqual([
    true,
    [owner.info.pids.agents['n0']],
  ])

  await tenant.repair()
  const again = await startOn(tenant, 'outlives')
  await owner.json(['down'])
  expect([await alive(ours.pid), await alive(again.pid)]).toEqual([false, true])
  await owner.repair()
  await until(
    'the tenant is served again',
    async () => (await ready(tenant).catch(() => [])).length === 1,
    60_000,
  )
  expect((await tenant.json(['status', again.run])).workers[0].pid).toBe(again.pid)
})

test.each([
  [
    'a bus that is not there',
    (text: string) => text.replace(/127\.0\.0\.1:\d+/, '127.0.0.1:9'),
    4,
    '127.0.0.1:9',
  ],
  [
    'a credential of one node',
    () => '{"apiVersion":"troupe/v1","kind":"credential","role":"agent"}',
    2,
    'agent --credential',
  ],
  ['half a file', (text: string) => text.slice(0, 300), 2, 'it is no JSON'],
  ['a later form', (text: string) => text.replace('troupe/v1', 'troupe/v2'), 2, 'its form is troupe/v2'],
  ['an account that lacks', (text: string) => text.replace('"people"', '"public"'), 2, 'an account lacks'],
])('%s: up --bus says so and leaves nothing running', async (_, change, code, words) => {
  const home = await mkdtemp(join(dir, 'home-'))
  const wrong = join(home, 'wrong.json')
  await writeFile(wrong, change(await readFile(file, 'utf8')), { mode: 0o600 })
  const ran = await run(TROUPE, ['up', '--bus', wrong, '--detach'], { env: fleetEnv(home) })
  expect(ran).toMatchObject({ code, stdout: '' })
  expect(ran.stderr).toContain(words)
  expect(await processesOf(home)).toEqual([])
})
