/**
 * A coordinator and an agent as the library sees them, on the bus in memory: answers by the table, events,
 * log bytes and a spool. Tests set what is true; nothing here decides anything.
 */
import type { Resolving } from '../../src/client/resolver.ts'
import { troupeOn, type Troupe } from '../../src/client/troupe.ts'
import type { Cause } from '../../src/protocol/causes.ts'
import { encode } from '../../src/protocol/codec.ts'
import { logHeaders, recordHeaders, sourceToken, type LogRecord } from '../../src/protocol/log-records.ts'
import { forkIdOf, parseForkId } from '../../src/protocol/names.ts'
import type { NodeInfo } from '../../src/protocol/node-info.ts'
import type { RunStatus, WorkerStatus } from '../../src/protocol/shapes.ts'
import type { RunSummary } from '../../src/protocol/run-summary.ts'
import { subjectOf } from '../../src/protocol/subjects.ts'
import type { BodyOf } from '../../src/protocol/table.ts'
import { systemClock } from '../../src/system/clock.ts'
import { ulid } from '../../src/system/ulid.ts'
import { blankReport } from '../../src/protocol/blank-report.ts'
import { serveCoordinator, serveLogs, type Truth } from './fake-fleet-answers.ts'
import { memoryServer } from './memory-bus/memory-bus.ts'
import type { MemoryConnection } from './memory-bus/connection.ts'
import { messengerOn, type Messenger } from '../../src/transport/messenger.ts'
import { ensureStreams } from '../../src/transport/streams.ts'

export const FLEET = 'main'
export const USER = 'ann'
export const RUN = 'job-0123456789ab'
const INCARNATION = '01ARZ3NDEKTSV4RRFFQ69G5FAV'

export function worker(
  role: string,
  index: number,
  over: Partial<WorkerStatus> = {},
  run = RUN,
): WorkerStatus {
  return {
    worker: `${run}/${role}/${index}`,
    role,
    index,
    node: 'n0',
    incarnation: INCARNATION,
    forkId: forkIdOf(run, role, index, over.attempt ?? 1),
    pid: 4000 + index,
    state: 'running',
    ready: true,
    attempt: 1,
    addr: null,
    ports: [],
    gpus: [],
    exit: null,
    receipt: null,
    ranks: [],
    children: [],
    attempts: [],
    startedAt: 1_700_000_000_000,
    exitedAt: null,
    reason: null,
    saved: null,
    ...over,
  }
}
export function exited(code: number, killedBy: Cause | null = null): Partial<WorkerStatus> {
  return {
    state: 'exited',
    ready: false,
    exit: { code, signal: null, oom: null, unknown: null, killedBy },
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 12 },
    exitedAt: 1_700_000_005_000,
  }
}
export const pending: Partial<WorkerStatus> = {
  state: 'pending',
  ready: false,
  attempt: 0,
  node: null,
  incarnation: null,
  pid: null,
  startedAt: null,
}

export function runStatus(over: Partial<RunStatus> = {}): RunStatus {
  const workers = over.workers ?? [worker('main', 0)]
  const roles = [...new Set(workers.map((w) => w.role))]
  return {
    run: RUN,
    name: (over.run ?? RUN).replace(/-[^-]+$/, ''),
    user: USER,
    state: 'running',
    reason: null,
    attempt: 1,
    code: null,
    acceptedAt: 1_700_000_000_000,
    endedAt: null,
    firstFailure: null,
    clocks: { queuedMs: 100, startMs: 250, runMs: 4000 },
    stopMs: null,
    roles: roles.map((role) => ({
      role,
      kind: 'task',
      state: 'running',
      workers: workers.filter((w) => w.role === role).length,
      ready: workers.filter((w) => w.role === role && w.ready).length,
      started: workers.filter((w) => w.role === role && w.startedAt !== null).length,
      wasReady: workers.filter((w) => w.role === role && (w.ready || w.exit?.code === 0)).length,
      ended: workers.filter((w) => w.role === role && w.state === 'exited').length,
      startSkewMs: null,
    })),
    stragglers: [],
    ...over,
    workers,
  }
}
export function summary(run: string, over: Partial<RunSummary> = {}): RunSummary {
  return {
    run,
    name: run.replace(/-[^-]+$/, ''),
    user: USER,
    state: 'running',
    reason: null,
    code: null,
    workers: 1,
    ready: 1,
    acceptedAt: 1_700_000_000_000,
    endedAt: null,
    ...over,
  }
}

export interface FakeFleet {
  troupe: Troupe
  /** another client on the same connection: as another user, or with other words' meaning */
  as(options: { user?: string } & Resolving): Troupe
  /** the client's own connection: its link can be cut */
  client: MemoryConnection
  messenger: Messenger
  /** answers of the coordinator, by run */
  statuses: Map<string, RunStatus>
  nodes: NodeInfo[]
  /** items of a page at most, and why the list of runs is not whole */
  pageCount: number
  partial: string | null
  /** every request that the coordinator got: verb and body */
  asked: { verb: string; body: unknown; key: string | undefined }[]
  /** until it gets the next of this verb: whoever follows or waits listens before it asks for the status */
  nextAsked(verb: string): Promise<void>
  /** stop or start answering */
  coordinator(up: boolean): void
  onLaunch: (body: Record<string, unknown>, key: string) => string
  onStatus: () => void
  onEnd: (how: 'stop' | 'kill', body: { run: string }) => void
  /** who does not get a signal */
  refused: { worker: string; reason: string }[]
  answers: Map<string, { run: string | null; fault: Record<string, unknown> | null }>
  agent(up: boolean): void
  /** fork id → source → bytes; and the fork ids whose logs are complete */
  files: Map<string, Map<string, Buffer>>
  final: Set<string>
  /** sources' floors and generations, by `forkId source` */
  floors: Map<string, number>
  generations: Map<string, number>
  /** append to a file, and ship it (or not) */
  write(forkId: string, source: string, bytes: string | Buffer, ship?: boolean): Promise<void>
  record(forkId: string, source: string, record: LogRecord): Promise<void>
  runEvent(what: string, over?: Partial<BodyOf<'event.run'>>): Promise<void>
  workerEvent(what: string, forkId: string, over?: Partial<BodyOf<'event.worker'>>): Promise<void>
  /** how many of a stream's newest messages are not in the copy that is read next */
  behind: () => number
  close(): Promise<void>
}

export async function fakeFleet(): Promise<FakeFleet> {
  const server = memoryServer(systemClock, { behind: () => fleet.behind() })
  const client = server.connect({ name: 'client' })
  const host = server.connect({ name: 'host' })
  await ensureStreams(host, FLEET)
  const boss = messengerOn(host, FLEET)
  const messenger = messengerOn(client, FLEET)
  const fleet: Truth = {
    statuses: new Map(),
    nodes: [],
    pageCount: Infinity,
    partial: null,
    asked: [],
    nextAsked(verb) {
      const count = (): number => fleet.asked.filter((request) => request.verb === verb).length
      const before = count()
      return until(`the coordinator is asked for ${verb}`, () => count() > before)
    },
    answers: new Map(),
    refused: [],
    files: new Map(),
    final: new Set(),
    floors: new Map(),
    generations: new Map(),
    onLaunch: () => RUN,
    onStatus: () => undefined,
    onEnd: () => {},
    behind: () => 0,
    coordinator(up) {
      for (const sub of coordinating.splice(0)) sub.unsubscribe()
      if (up) coordinating.push(...serveCoordinator(boss, fleet))
    },
    agent(up) {
      for (const sub of serving.splice(0)) sub.unsubscribe()
      if (up) serving.push(...serveLogs(boss, fleet))
    },
    async write(forkId, source, bytes, ship = true) {
      const files = fleet.files.get(forkId) ?? new Map<string, Buffer>()
      const isNew = !fleet.files.has(forkId)
      fleet.files.set(forkId, files)
      if (isNew && serving.length > 0) fleet.agent(true)
      const before = files.get(source) ?? Buffer.alloc(0)
      files.set(source, Buffer.concat([before, Buffer.from(bytes as string)]))
      if (ship)
        await host.append(logSubjectOf(forkId, source), Buffer.from(bytes as string), {
          headers: logHeaders({
            forkId,
            generation: fleet.generations.get(`${forkId} ${source}`) ?? 0,
            offset: before.length,
          }),
        })
    },
    async record(forkId, source, record) {
      const headers = recordHeaders(forkId, record)
      await host.append(logSubjectOf(forkId, source), new Uint8Array(0), { headers })
    },
    async runEvent(what, over = {}) {
      await host.append(
        subjectOf(FLEET, 'event.run', { run: over.run ?? RUN, what }),
        encode(
          {
            id: ulid(),
            at: 1_700_000_000_000,
            what,
            run: RUN,
            name: 'job',
            user: USER,
            state: 'running',
            reason: null,
            attempt: 1,
            code: null,
            firstFailure: null,
            key: null,
            fault: null,
            ...over,
          },
          'json',
        ),
      )
    },
    async workerEvent(what, forkId, over = {}) {
      const report = { ...blankReport(forkId, 'running'), pid: 4000 }
      const { run, role, index } = report
      await host.append(
        subjectOf(FLEET, 'event.worker', { run, role, index, what, node: 'n0' }),
        encode(
          {
            id: ulid(),
            at: 1_700_000_000_000,
            what,
            node: 'n0',
            incarnation: INCARNATION,
            rev: 1,
            ...report,
            ...over,
          },
          'json',
        ),
      )
    },
    async close() {
      await Promise.all([host.close(), client.close()])
    },
  }
  const coordinating: { unsubscribe(): void }[] = []
  const serving: { unsubscribe(): void }[] = []
  const logSubjectOf = (forkId: string, source: string): string =>
    subjectOf(FLEET, 'log', { ...parseForkId(forkId)!, source: sourceToken(source), node: 'n0' })
  fleet.coordinator(true)
  fleet.agent(true)
  const as: FakeFleet['as'] = (options) => troupeOn({ messenger, user: USER, ...options })
  return Object.assign(fleet, { client, messenger, as, troupe: as({}) })
}

/** Poll a condition that no event tells of; bounded. */
export async function until(what: string, holds: () => boolean, boundMs = 10_000): Promise<void> {
  for (const end = Date.now() + boundMs; !holds(); await sleepMs(2))
    if (Date.now() > end) throw new Error(`not within ${boundMs} ms: ${what}`)
}

export function sleepMs(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms))
}

/** Everything of a sequence that ends by itself. */
export async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}
