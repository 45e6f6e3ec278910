/**
 * A fleet under garbage: each role's credential publishes what it may, on all its subjects, while a run is
 * under way and a client asks on. What has to hold then is tests/integration/fuzz.test.ts.
 */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, headers as natsHeaders, jwtAuthenticator, type NatsConnection } from 'nats'
import { permissionsOf } from '../../src/protocol/permissions.ts'
import { TABLE, type BusRole, type RowName } from '../../src/protocol/table.ts'
import { signerOf } from '../../src/transport/nats/nkey-sign.ts'
import { mintCredentials, type Minter } from '../../src/transport/nats/tenant-accounts.ts'
import type { Fleet } from './fleet.ts'
import { garbageOf } from './fuzz-messages.ts'
import { randomOf, type Random } from './random.ts'

const HOLDERS = [
  ['client', 'ada'],
  ['observer', 'oli'],
  ['agent', 'n9'],
  ['renewal', 'n9'],
  ['worker', 'r.t.0'],
] as const satisfies readonly (readonly [BusRole, string])[]

/** messages of one holder before it waits until the server has them */
const BATCH = 5
const PAUSE_MS = 50
const PROBE_MS = 250

export interface Fuzzed {
  seed: number
  seconds: number
  /** published, by role */
  sent: Record<string, number>
  /** came back into the askers' inboxes */
  answers: number
  /** the server did not let through */
  refused: number
  /** the longest that a client's question was without its answer meanwhile */
  slowestMs: { coordinator: number; agent: number }
  /** peaks, MB */
  memory: { coordinator: number; agent: number }
}

interface Holder {
  role: BusRole
  nc: NatsConnection
  inbox: string
  publish: string[]
}

async function holderOf(fleet: Fleet, role: BusRole, name: string): Promise<Holder> {
  const file = join(fleet.home, 'keys', fleet.info.fleet, 'signing.json')
  const minter = JSON.parse(await readFile(file, 'utf8')) as Minter
  const { nkeySeed, inboxPrefix, jwt } = await mintCredentials(minter, role, name)
  const key = signerOf(nkeySeed, 'user').publicKey
  const who = { fleet: fleet.info.fleet, user: name, node: name, worker: name, key, inboxPrefix }
  const nc = await connect({
    servers: fleet.info.url,
    authenticator: jwtAuthenticator(jwt!, new TextEncoder().encode(nkeySeed)),
    inboxPrefix,
    maxReconnectAttempts: -1,
    reconnectTimeWait: 50,
  })
  return { role, nc, inbox: inboxPrefix, publish: permissionsOf(role, who).publish }
}

/** @param run  a run with one worker in the role `main` */
export async function fuzz(fleet: Fleet, run: string, seconds: number, seed: number): Promise<Fuzzed> {
  const random = randomOf(seed)
  const end = Date.now() + seconds * 1000
  const result: Fuzzed = {
    ...{ seed, seconds, sent: {}, answers: 0, refused: 0 },
    slowestMs: { coordinator: 0, agent: 0 },
    memory: { coordinator: 0, agent: 0 },
  }
  const names = [
    run,
    'main',
    '0',
    'n0',
    'n9',
    'r',
    't',
    '_',
    'started',
    'exited',
    'stdout',
    '-1',
    'x'.repeat(80),
  ]
  const holders = await Promise.all(HOLDERS.map(([role, name]) => holderOf(fleet, role, name)))
  const ben = await holderOf(fleet, 'client', 'ben')
  try {
    await Promise.all([
      ...holders.map((holder) => disturb(holder, random.fork(holder.role), names, end, result)),
      probe(ben, run, end, result),
    ])
  } finally {
    await Promise.all([...holders, ben].map(({ nc }) => nc.close()))
  }
  result.memory.coordinator = await peakMb(fleet.info.pids.coordinator)
  result.memory.agent = await peakMb(fleet.info.pids.agents['n0']!)
  return result
}

async function disturb(
  { role, nc, inbox, publish }: Holder,
  random: Random,
  names: readonly string[],
  end: number,
  result: Fuzzed,
): Promise<void> {
  nc.subscribe(`${inbox}.>`, { callback: () => void result.answers++ })
  void (async () => {
    for await (const { type } of nc.status()) if (type === 'error') result.refused++
  })()
  result.sent[role] = 0
  while (Date.now() < end) {
    for (let i = 0; i < BATCH; i++) {
      const { subject, body, headers, reply } = garbageOf(random, publish, names, inbox)
      const told = natsHeaders()
      for (const [name, value] of Object.entries(headers)) told.append(name, value)
      nc.publish(subject, body, { headers: told, ...(reply !== undefined && { reply }) })
      result.sent[role]++
    }
    await nc.flush()
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  }
}

/** @throws when the coordinator or the agent of the run leaves a question without an answer */
async function probe({ nc }: Holder, run: string, end: number, { slowestMs }: Fuzzed): Promise<void> {
  const ask = async (of: keyof Fuzzed['slowestMs'], subject: string): Promise<void> => {
    const began = performance.now()
    await nc
      .request(`troupe.v1.main.${subject}`, new TextEncoder().encode('{}'), { timeout: 20_000 })
      .catch((error: Error) => {
        throw new Error(`${subject}: ${error.message}`)
      })
    slowestMs[of] = Math.max(slowestMs[of], Math.round(performance.now() - began))
  }
  while (Date.now() < end) {
    await ask('coordinator', 'coordinator.list.ben')
    await ask('agent', `worker.${run}.main.0.log`)
    await new Promise((resolve) => setTimeout(resolve, PROBE_MS))
  }
}

async function peakMb(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Math.round(Number(/^VmHWM:\s+(\d+) kB/m.exec(status)![1]) / 1024)
}

/** Lines of `events --json` that are no event of the table. */
export function strangeEvents(lines: readonly string[]): string[] {
  const rows = (Object.keys(TABLE) as RowName[]).filter((name) => TABLE[name].kind === 'event')
  return lines.filter((line) => {
    try {
      const event: unknown = JSON.parse(line)
      return !rows.some((name) => TABLE[name].body?.safeParse(event).success)
    } catch {
      return true
    }
  })
}
