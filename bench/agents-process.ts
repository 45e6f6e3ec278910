/**
 * A process that is many node agents: the real actor, each with two real connections and its own key, over a
 * simulated process host; only what would be a machine below them is not real. It ends with its parent.
 */
import { startNodeAgent } from '../src/actors/agent/node-agent.ts'
import { readKey } from '../src/fleet/keys.ts'
import { layoutOf } from '../src/fleet/layout.ts'
import { agentConnectionName } from '../src/protocol/names.ts'
import { systemClock } from '../src/system/clock.ts'
import { ulid } from '../src/system/ulid.ts'
import { connectNats } from '../src/transport/nats/bus.ts'
import { randomOf } from '../tests/support/random.ts'
import { simMachine } from '../tests/support/sim-host.ts'
import { simLogStore } from '../tests/support/sim-log-store.ts'
import { simProcess } from '../tests/support/sim-process.ts'

/** What such a process is told: its argument, as JSON. */
export interface AgentsOrder {
  home: string
  local: string
  fleet: string
  url: string
  nodes: string[]
}

/** Handshakes at once: each is a signature here and a check on the server. */
const LANES = 16

const { home, local, fleet, url, nodes } = JSON.parse(process.argv[2]!) as AgentsOrder
const layout = layoutOf(home, local, fleet)
process.once('disconnect', () => process.exit(0))

async function start(node: string): Promise<void> {
  const [incarnation, credentials, random] = [
    ulid(),
    await readKey(layout, { role: 'agent', node }),
    randomOf(Number(node.replace(/\D/g, ''))),
  ]
  const [bus, logBus] = await Promise.all(
    [agentConnectionName(node, incarnation, 1), `troupe-logs/${node}/${incarnation}`].map((name) =>
      connectNats({ servers: url, credentials, name, connectTimeoutMs: 20_000 }),
    ),
  )
  const machine = simMachine({ node, clock: systemClock, random })
  const self = simProcess({ name: node, clock: systemClock, nowOffset: 0, wallOffset: 0 })
  const agent = await startNodeAgent({
    bus: bus!,
    logBus: logBus!,
    fleet,
    node,
    incarnation,
    host: machine.host(self),
    logs: simLogStore(machine, self, new Map(), random),
    store: { read: () => Promise.resolve({ epoch: null }), write: () => Promise.resolve() },
    clock: systemClock,
    log: (fields) => process.stderr.write(`${node} ${JSON.stringify(fields)}\n`),
  })
  await agent.joined
}

const waiting = [...nodes]
async function lane(): Promise<void> {
  for (let node = waiting.shift(); node !== undefined; node = waiting.shift()) await start(node)
}
await Promise.all(Array.from({ length: LANES }, lane))
process.send!('ready')
