/**
 * From one launch of a worker on each of 1,000 agents to the last `started`: real connections, the real agent
 * actor over a simulated process host (which answers within some ms), a real server and a real coordinator,
 * all on this machine. Beside: one raw request that as many connections answer.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { ensureKey } from '../src/fleet/keys.ts'
import { ownName } from '../src/fleet/home.ts'
import type { AgentsOrder } from './agents-process.ts'
import { ofLaunch } from './facts.ts'
import { makeLayout, startFleet, task, type BenchFleet } from './fleet.ts'
import { rowOf, type Bench, type Beside, type Measurement } from './measure.ts'
import { ECHO_SUBJECT, startRawBus } from './raw-bus.ts'
import { figureOf, timed } from './stats.ts'

const PROCESSES = 4
const JOIN_MS = 120_000
const AIM_MS = 300
/** a simulated machine has 8 cores: one worker each fills it */
const WORKER = { resources: { cpus: 8 } }
/** as long as it takes that all run at once, then it ends by itself */
const PROGRAM = ['sim', 'life=3000']

export const thousandAgents: Measurement = {
  name: 'agents',
  async run(bench) {
    const [agents, times] = bench.quick ? [20, 1] : [1000, 7]
    const made = await makeLayout(bench)
    const nodes = Array.from({ length: agents }, (_, i) => `s${i}`)
    for (const node of nodes) {
      bench.teardown.goOn()
      await ensureKey(made.layout, { role: 'agent', node }, ownName())
    }
    const fleet = await startFleet(bench, 0, { made })
    const order = {
      home: made.layout.home,
      local: made.layout.local,
      fleet: fleet.info.fleet,
      url: fleet.info.url,
    }
    const began = performance.now()
    const ends = await Promise.all(
      shares(nodes).map((share) => startAgents(bench, { ...order, nodes: share })),
    )
    const there = await joined(fleet, agents)
    const joinMs = performance.now() - began
    bench.say(`  ${there} of ${agents} agents joined in ${(joinMs / 1000).toFixed(1)} s`)

    const took: number[] = []
    for (let i = 0; i < times; i++) took.push(await launchOnAll(fleet, `all-${i}`, there))
    await fleet.end()
    for (const end of ends) await end()
    const raw = await rawGather(bench, there, Math.max(times, 5))
    const figure = figureOf(took)
    return [
      rowOf({
        what: `${there} agents have acknowledged a fork`,
        unit: 'ms',
        figure,
        beside: [raw],
        aim: { text: `1,000 in ≤ ${AIM_MS} ms`, met: there >= 1000 && figure.p50 <= AIM_MS },
        notes: [
          ...(there < agents ? [`${agents} were started, ${there} joined within ${JOIN_MS / 1000} s`] : []),
          `${there} agents and ${2 * there} connections in ${PROCESSES} processes joined in ${(joinMs / 1000).toFixed(1)} s`,
          `the first launch took ${took[0]!.toFixed(0)} ms`,
        ],
      }),
    ]
  },
}

function shares(nodes: readonly string[]): string[][] {
  return Array.from({ length: PROCESSES }, (_, k) => nodes.filter((_, i) => i % PROCESSES === k))
}

/** Resolves when its agents have joined, or will not in time. @returns ends it */
async function startAgents({ teardown, programs }: Bench, order: AgentsOrder): Promise<() => Promise<void>> {
  const child = spawn(process.execPath, [join(programs, 'agents-process.mjs'), JSON.stringify(order)], {
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    detached: true,
  })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const end = teardown.add(() => (child.kill('SIGKILL'), exited))
  await Promise.race([
    new Promise((resolve) => child.once('message', resolve)),
    sleep(JOIN_MS),
    exited.then(() =>
      Promise.reject(new Error(`the agents' process ended with ${child.exitCode ?? child.signalCode}`)),
    ),
  ])
  return end
}

/** How many the coordinator has heard, at the latest when the time is over. */
async function joined({ troupe }: BenchFleet, wanted: number): Promise<number> {
  for (const giveUpAt = performance.now() + JOIN_MS; ; await sleep(250)) {
    const ready = (await troupe.nodes()).filter((node) => node.state === 'ready').length
    if (ready >= wanted || performance.now() > giveUpAt) return ready
  }
}

async function launchOnAll({ troupe, facts }: BenchFleet, name: string, replicas: number): Promise<number> {
  const [started, ended] = [
    facts.await('started', ofLaunch(name), { count: replicas }),
    facts.await('ended', ofLaunch(name)),
  ]
  const began = performance.now()
  await troupe.launch(task(name, PROGRAM, { replicas, ...WORKER }))
  const { at } = await started
  await ended
  return at - began
}

async function rawGather(bench: Bench, connections: number, times: number): Promise<Beside> {
  const raw = await startRawBus(bench)
  await raw.echo(PROCESSES, Math.ceil(connections / PROCESSES))
  const values: number[] = []
  for (let i = -1; i < times; i++) {
    const ms = await timed(() =>
      raw.bus.gather(ECHO_SUBJECT, new Uint8Array(256), { timeoutMs: 10_000, count: connections }),
    )
    if (i >= 0) values.push(ms)
  }
  await raw.end()
  return { what: `one raw request, ${connections} connections answer`, unit: 'ms', ...figureOf(values) }
}
