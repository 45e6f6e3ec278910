/**
 * Real agents on a real server, and a hand that plays the coordinator: it has the streams made, writes the
 * epoch into STATE, and gives orders as one would. Agents hold the credential of an agent and no more.
 * Everything goes with `close`.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { mkdtemp, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { build } from 'esbuild'
import { encode } from '../../src/protocol/codec.ts'
import { forkIdOf } from '../../src/protocol/names.ts'
import { orderHeaders } from '../../src/protocol/order-headers.ts'
import { permissionsOf } from '../../src/protocol/permissions.ts'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'
import type { Epoch, ForkReport } from '../../src/protocol/shapes.ts'
import { subjectOf } from '../../src/protocol/subjects.ts'
import {
  HEADERS,
  MSGPACK,
  streamOf,
  type BodyOf,
  type ReplyOf,
  type TABLE,
} from '../../src/protocol/table.ts'
import { fileAgentStore } from '../../src/process/agent-store.ts'
import { fileLogStore } from '../../src/process/file-log-store.ts'
import { createLinuxHost } from '../../src/process/linux-host.ts'
import { buildShim } from '../../src/process/shim/build.ts'
import { startNodeAgent, type AgentHandle, type NodeAgentOptions } from '../../src/actors/agent/node-agent.ts'
import { systemClock } from '../../src/system/clock.ts'
import { ulid } from '../../src/system/ulid.ts'
import type { Bus } from '../../src/transport/bus.ts'
import { messengerOn, type Messenger } from '../../src/transport/messenger.ts'
import { ensureStreams } from '../../src/transport/streams.ts'
import { forkSpec } from './fork-spec.ts'
import { startTestServer, until, type TestServer } from './test-server.ts'

export type WorkerFact = BodyOf<'event.worker'>
type NodeRow = Extract<keyof typeof TABLE, `node.${string}`>
type Verb = NodeRow extends `node.${infer V}` ? V : never

export interface AgentHarness {
  server: TestServer
  bus: Bus
  messenger: Messenger
  dir: string
  /** all worker facts that the event stream delivered, in order of arrival */
  facts: WorkerFact[]
  epoch: Epoch
  start(options?: Partial<NodeAgentOptions>): Promise<AgentHandle>
  /** as a process of its own; its spool is the same */
  spawn(): Promise<ChildProcess>
  order<V extends Verb>(
    verb: V,
    body: BodyOf<`node.${V}`>,
    options?: { epoch?: Epoch; allowanceMs?: number },
  ): Promise<ReplyOf<`node.${V}`>>
  launch(spec: ForkSpec): Promise<ForkReport>
  inventory(): Promise<ReplyOf<'node.inventory'>>
  fact(forkId: string, what: string, boundMs?: number): Promise<WorkerFact>
  storedFacts(forkId: string): Promise<string[]>
  close(): Promise<void>
}

let count = 0
/** A task of its own run, so that tests do not meet. */
export function taskSpec(command: string[], changes: Partial<ForkSpec> = {}): ForkSpec {
  const run = `run-${++count}`
  return { ...forkSpec(), run, forkId: forkIdOf(run, 'trainer', 0, 1), cwd: tmpdir(), command, ...changes }
}

export async function startAgentHarness(): Promise<AgentHarness> {
  const inboxPrefix = '_INBOX_n0'
  const server = await startTestServer({
    n0: permissionsOf('agent', { fleet: 'main', node: 'n0', inboxPrefix }),
  })
  const dir = await mkdtemp(join(tmpdir(), 'troupe-agent-'))
  const bus = await server.connect('coordinator')
  const messenger = messengerOn(bus, 'main')
  await ensureStreams(bus, 'main')
  const epoch: Epoch = { storeId: 'store', n: 4 }
  await bus.append(subjectOf('main', 'state', {}), encode({ epoch }, 'msgpack'), {
    headers: { [HEADERS.contentType]: MSGPACK },
  })
  const shim = (await buildShim(join(dir, 'shim'))).argv

  const facts: WorkerFact[] = []
  messenger.listen('event.worker', {}, ({ body }) => void facts.push(body))
  let last: { incarnation: string; tick: number; at: number } | null = null
  messenger.listen('beat', { node: 'n0' }, ({ body }) => {
    last = body.leaving ? null : { incarnation: body.incarnation, tick: body.tick, at: performance.now() }
  })
  const agents: AgentHandle[] = []
  const children: ChildProcess[] = []
  const programs = new Map<string, Promise<string>>()

  const beaten = async (): Promise<NonNullable<typeof last>> => {
    await until('the agent beats', () => last !== null)
    return last!
  }
  const order: AgentHarness['order'] = async (verb, body, options = {}) => {
    const { incarnation, tick, at } = await beaten()
    const headers = orderHeaders({
      epoch: options.epoch ?? epoch,
      notAfter: tick + (performance.now() - at) + (options.allowanceMs ?? 2000),
    })
    return messenger.ask(`node.${verb}` as 'node.kill', { node: 'n0', incarnation }, body as never, {
      headers,
      timeoutMs: 5000,
    }) as never
  }

  const stopAll = async (): Promise<void> => {
    await Promise.all(agents.splice(0).map((agent) => agent.stop()))
  }
  return {
    server,
    bus,
    messenger,
    dir,
    facts,
    epoch,
    order,
    async start(options = {}) {
      // a newcomer ends the owner of the spool, which would be this process
      await stopAll()
      const [control, logs] = await Promise.all([server.connect('n0', 'n0'), server.connect('n0-logs', 'n0')])
      const host = createLinuxHost({
        spoolDir: join(dir, 'spool'),
        node: 'n0',
        agentEnv: process.env as Record<string, string>,
        shim,
        cacheDir: join(dir, 'cache'),
      })
      last = null
      const agent = await startNodeAgent({
        bus: control!,
        logBus: logs!,
        fleet: 'main',
        node: 'n0',
        incarnation: ulid(),
        host,
        logs: fileLogStore(host.logDir),
        store: fileAgentStore(join(dir, 'agent.json')),
        clock: systemClock,
        log: (fields) => process.env['TROUPE_TEST_LOG'] && console.error(fields),
        ...options,
      })
      agents.push(agent)
      return agent
    },
    async spawn() {
      if (!programs.has('agent')) programs.set('agent', bundleAgent(dir))
      await stopAll()
      last = null
      const child = spawn(
        process.execPath,
        [
          await programs.get('agent')!,
          JSON.stringify({ url: server.url, credentials: server.credentials('n0'), node: 'n0', dir, shim }),
        ],
        { stdio: ['ignore', 'pipe', 'inherit'] },
      )
      children.push(child)
      await new Promise<void>((resolve, reject) => {
        child.stdout!.once('data', () => resolve())
        child.once('exit', (code) => reject(new Error(`the agent ended with ${code}`)))
      })
      return child
    },
    async launch(spec) {
      const { token } = await order('prepare', { forks: [spec], lapseMs: 10_000 })
      const { forks } = await order('start', {
        token,
        forks: [{ forkId: spec.forkId, bindings: { roles: {}, rendezvous: null } }],
      })
      return forks[0]!
    },
    async inventory() {
      const { incarnation } = await beaten()
      return messenger.ask('node.inventory', { node: 'n0', incarnation }, {})
    },
    async fact(forkId, what, boundMs = 10_000) {
      let found: WorkerFact | null | undefined
      const find = async (): Promise<boolean> => {
        found = facts.find((fact) => fact.forkId === forkId && fact.what === what)
        // a server that was away takes facts before our own connection is back: those are told to nobody
        found ??= await storedFactOf(bus, forkId, what).catch(() => null)
        return found !== null
      }
      await until(`${forkId} ${what}`, find, boundMs)
      return found!
    },
    storedFacts: (forkId) => storedFactsOf(bus, forkId),
    async close() {
      await stopAll()
      for (const child of children) child.kill('SIGKILL')
      await server.close()
      await rm(dir, { recursive: true, force: true })
    },
  }
}

/** The program of an agent, in one file that a process can run. */
async function bundleAgent(dir: string): Promise<string> {
  const outfile = join(dir, 'agent.mjs')
  await symlink(join(import.meta.dirname, '../../node_modules'), join(dir, 'node_modules'))
  await build({
    entryPoints: [join(import.meta.dirname, 'agent-program.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'esm',
    packages: 'external',
    logLevel: 'error',
  })
  return outfile
}

async function storedFactOf(bus: Bus, forkId: string, what: string): Promise<WorkerFact | null> {
  const [run, role, index] = forkId.split('.')
  const subject = `troupe.v1.main.event.${run}.${role}.${index}.${what}.n0`
  const message = await bus.getMessage(streamOf('main', 'EVENT'), { seq: 1, subject })
  return message && JSON.parse(Buffer.from(message.body).toString())
}

/** What the event stream keeps of a fork, in order. */
async function storedFactsOf(bus: Bus, forkId: string): Promise<string[]> {
  const whats: string[] = []
  const [run, role, index] = forkId.split('.')
  for (let seq = 1; ;) {
    const message = await bus.getMessage(streamOf('main', 'EVENT'), {
      seq,
      subject: `troupe.v1.main.event.${run}.${role}.${index}.*.n0`,
    })
    if (message === null) return whats
    whats.push((JSON.parse(Buffer.from(message.body).toString()) as WorkerFact).what)
    seq = message.seq + 1
  }
}
