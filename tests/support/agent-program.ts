/**
 * A node agent as a process of its own, for tests that kill it. Bundled by agent-harness.ts; configured by
 * one JSON argument. It prints `joined` when orders are heard.
 */
import { fileAgentStore } from '../../src/process/agent-store.ts'
import { fileLogStore } from '../../src/process/file-log-store.ts'
import { createLinuxHost } from '../../src/process/linux-host.ts'
import { startNodeAgent } from '../../src/actors/agent/node-agent.ts'
import { systemClock } from '../../src/system/clock.ts'
import { ulid } from '../../src/system/ulid.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import type { Credentials } from '../../src/system/contexts.ts'

const config = JSON.parse(process.argv[2]!) as {
  url: string
  credentials: Credentials
  node: string
  dir: string
  shim: string[]
}
const [bus, logBus] = await Promise.all(
  ['control', 'logs'].map((name) =>
    connectNats({
      servers: config.url,
      credentials: config.credentials,
      name: `${config.node}-${name}`,
      waitMs: Infinity,
    }),
  ),
)
const host = createLinuxHost({
  spoolDir: `${config.dir}/spool`,
  node: config.node,
  agentEnv: process.env as Record<string, string>,
  shim: config.shim,
  cacheDir: `${config.dir}/cache`,
})
const agent = await startNodeAgent({
  bus: bus!,
  logBus: logBus!,
  fleet: 'main',
  node: config.node,
  incarnation: ulid(),
  host,
  logs: fileLogStore(host.logDir),
  store: fileAgentStore(`${config.dir}/agent.json`),
  clock: systemClock,
  log: (fields) => process.stderr.write(`${JSON.stringify(fields)}\n`),
})
process.on('SIGTERM', () => void agent.stop())
await agent.joined
process.stdout.write('joined\n')
await agent.ended
process.exit(0)
