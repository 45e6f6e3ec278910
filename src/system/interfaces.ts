/**
 * What this machine's network looks like: its interfaces with their addresses, and the interface of the
 * default route. Facts alone: which address peers are told is decided in process/host-choice.ts.
 */
import { readFileSync } from 'node:fs'
import { networkInterfaces } from 'node:os'

/**
 * Interface name → addresses, in the order of the system. Link-local IPv6 is left out: it means nothing
 * without a zone.
 */
export function listInterfaces(): Record<string, string[]> {
  const found: Record<string, string[]> = {}
  for (const [name, addresses] of Object.entries(networkInterfaces())) {
    const usable = (addresses ?? []).map((a) => a.address).filter((address) => !/^fe[89ab]/i.test(address))
    if (usable.length > 0) found[name] = usable
  }
  return found
}

/** Interface of the default route with the lowest metric, IPv4 before IPv6; null when there is none. */
export function defaultInterface(): string | null {
  return parseRoutes(read('/proc/net/route')) ?? parseRoutes6(read('/proc/net/ipv6_route'))
}

/** `Iface Destination Gateway Flags RefCnt Use Metric Mask …`, numbers in hex but for the metric */
export function parseRoutes(table: string): string | null {
  let best: { name: string; metric: number } | null = null
  for (const line of table.split('\n').slice(1)) {
    const [name, destination, , flags, , , metric, mask] = line.trim().split(/\s+/)
    if (
      name === undefined ||
      destination !== '00000000' ||
      mask !== '00000000' ||
      (parseInt(flags!, 16) & ROUTE_UP) === 0
    )
      continue
    if (best === null || Number(metric) < best.metric) best = { name, metric: Number(metric) }
  }
  return best?.name ?? null
}

/** `destination length source length nexthop metric refcount use flags name`, all in hex */
export function parseRoutes6(table: string): string | null {
  let best: { name: string; metric: number } | null = null
  for (const line of table.split('\n')) {
    const [destination, length, , , nextHop, metric, , , flags, name] = line.trim().split(/\s+/)
    if (name === undefined || !/^0+$/.test(destination!) || length !== '00' || /^0+$/.test(nextHop!)) continue
    if ((parseInt(flags!, 16) & ROUTE_UP) === 0 || name === 'lo') continue
    if (best === null || parseInt(metric!, 16) < best.metric) best = { name, metric: parseInt(metric!, 16) }
  }
  return best?.name ?? null
}

const ROUTE_UP = 1

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
