/**
 * Counts the coordinator's entries in STATE as they are written, with the coordinator's own credential: each
 * is an fsync.
 */
import { readKey } from '../src/fleet/keys.ts'
import type { FleetLayout } from '../src/fleet/layout.ts'
import { subjectOf } from '../src/protocol/subjects.ts'
import { connectNats } from '../src/transport/nats/bus.ts'

export interface StateEntries {
  /** heard so far: live delivery, so one that was just acknowledged may be missing */
  readonly written: number
  close(): Promise<void>
}

export async function watchState(layout: FleetLayout, { url }: { url: string }): Promise<StateEntries> {
  const bus = await connectNats({
    servers: url,
    credentials: await readKey(layout, { role: 'coordinator' }),
    name: 'troupe bench: state',
  })
  let written = 0
  bus.subscribe(subjectOf(layout.fleet, 'state', {}), () => void written++)
  await bus.flush()
  return {
    get written() {
      return written
    },
    close: () => bus.close(),
  }
}
