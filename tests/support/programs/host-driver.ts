/**
 * A process that has a LinuxHost, for tests that kill it: prepares and starts what it is told, says so, and
 * waits. Bundled by the test, because it has to be a Node process of its own.
 *
 * argv: JSON { spoolDir, shim, specs, until: 'prepared' | 'started' }
 */
import { createLinuxHost } from '../../../src/process/linux-host.ts'

const { spoolDir, shim, specs, until } = JSON.parse(process.argv[2]!)
const host = createLinuxHost({
  spoolDir,
  node: 'n0',
  agentEnv: { PATH: process.env['PATH']! },
  shim,
  cacheDir: spoolDir,
  portRange: [20_000, 29_999],
})
const recovered = await host.recover()
const prepared = await host.prepare(specs)
const started =
  until === 'started'
    ? await Promise.all(
        specs.map(({ forkId }: { forkId: string }) => host.start(forkId, { roles: {}, rendezvous: null })),
      )
    : []
process.stdout.write(`${JSON.stringify({ recovered, prepared, started })}\n`)
setInterval(() => {}, 1000)
