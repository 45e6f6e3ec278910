/** Credentials that were revoked, as both commands for it say them. */
import type { Fault } from '../../protocol/faults.ts'
import type { Io } from '../frame/io.ts'

/** What fleet/revoke.ts says of one. */
interface Revoked {
  name: string | null
  role: string | null
  key: string
  untold: Fault | null
}

export function showRevoked(io: Io, revoked: readonly Revoked[]): void {
  if (io.json) return io.printJson(revoked.map(({ untold, ...one }) => ({ ...one, told: untold === null })))
  for (const { name, role, key, untold } of revoked) {
    if (io.quiet) io.stdout(`${key}\n`)
    const called = name === null ? `the key ${key}` : `the credential of ${name} (${role}, ${key})`
    io.stderr(`${called} is revoked${toldText(untold)}`)
  }
}

export function toldText(untold: Fault | null): string {
  return untold === null
    ? ': the bus lets it in no more'
    : `. The bus was not told: ${untold.message}. It reads it when it starts, or with the next: troupe up`
}
