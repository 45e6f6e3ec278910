/**
 * The port of a fleet's bus: free now where it listens, and below the ephemeral range, so that a server that
 * was away finds its port free again. Nothing holds the port until the server binds it: the caller tries
 * again when somebody else was faster. The ports of workers are leased (process/ports.ts), not picked.
 */
import { randomInt } from 'node:crypto'
import getPort from 'get-port'
import { Fault } from '../protocol/faults.ts'

const [FIRST, LAST] = [10_000, 32_767] as const
/** A machine where so many ports in a row are taken has another problem. */
const TRIES = 500

/** @throws {Fault} PORT_ALLOC when none of the ports that were tried is free */
export async function pickBusPort(host = '127.0.0.1'): Promise<number> {
  const candidates = candidatePorts()
  const port = await getPort({ host, port: candidates })
  // get-port takes any ephemeral port when no candidate is free
  if (candidates.includes(port)) return port
  throw new Fault('PORT_ALLOC', `no free port between ${FIRST} and ${LAST} on ${host} in ${TRIES} tries`)
}

/** A random start: two fleets that come up together would else try the same ports in the same order. */
function candidatePorts(): number[] {
  const count = LAST - FIRST + 1
  const start = randomInt(count)
  return Array.from({ length: TRIES }, (_, i) => FIRST + ((start + i) % count))
}
