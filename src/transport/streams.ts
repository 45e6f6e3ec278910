/**
 * The streams of one fleet: what each holds, how much, how long, and how hard it is kept. Made by whoever
 * leads. STATE and LAUNCH pay an fsync for each message (the bus is set to sync always), and the server does
 * it on the sender's connection: what comes behind waits. Messages are counted too: the server's memory grows
 * with them and their subjects, not with their bytes. With asynchronous persistence a killed server
 * forgets events that it had acknowledged (seen in 2 of 5 trials): replay-recent.ts tells them again.
 */
import { rootOf } from '../protocol/subjects.ts'
import { STREAMS, streamOf, type StreamName } from '../protocol/table.ts'
import type { Bus, StreamConfig } from './bus.ts'

const MIB = 1024 * 1024
const HOUR_MS = 3600 * 1000
const DEDUPE_MS = 120_000
const NO_LIMIT = -1

const LIMITS: Record<StreamName, Omit<StreamConfig, 'name' | 'subjects'>> = {
  // no limit: a limit would drop the oldest state in silence. Snapshots keep it small.
  STATE: {
    kind: 'limits',
    storage: 'file',
    maxBytes: NO_LIMIT,
    maxAgeMs: 0,
    duplicateWindowMs: DEDUPE_MS,
    allowDirect: true,
    asyncPersist: false,
  },
  ARCHIVE: {
    kind: 'limits',
    storage: 'file',
    maxBytes: 256 * MIB,
    maxMessages: 100_000,
    maxAgeMs: 30 * 24 * HOUR_MS,
    duplicateWindowMs: DEDUPE_MS,
    allowDirect: true,
    asyncPersist: true,
  },
  EVENT: {
    kind: 'limits',
    storage: 'file',
    maxBytes: 256 * MIB,
    maxMessages: 500_000,
    maxAgeMs: 48 * HOUR_MS,
    duplicateWindowMs: HOUR_MS,
    allowDirect: true,
    asyncPersist: true,
  },
  LOG: {
    kind: 'limits',
    storage: 'file',
    maxBytes: 2048 * MIB,
    maxMessages: 500_000,
    maxAgeMs: 24 * HOUR_MS,
    duplicateWindowMs: DEDUPE_MS,
    allowDirect: true,
    asyncPersist: true,
  },
  // full: refuses new launches, never drops an acknowledged one
  LAUNCH: {
    kind: 'work-queue',
    storage: 'file',
    maxBytes: 64 * MIB,
    maxAgeMs: 0,
    duplicateWindowMs: DEDUPE_MS,
    allowDirect: false,
    asyncPersist: false,
  },
}

/** @param replicas  null: 1 for a new stream, and one that is there keeps its own */
export function streamConfigOf(
  fleet: string,
  name: StreamName,
  replicas: number | null = null,
): StreamConfig {
  const subject = `${rootOf(fleet)}.${STREAMS[name].token}`
  return {
    name: streamOf(fleet, name),
    subjects: [name === 'STATE' ? subject : `${subject}.>`],
    ...LIMITS[name],
    ...(replicas !== null && { replicas }),
  }
}

/** Make the streams that are missing, and give the limits of now to all; says of each whether it is new. */
export async function ensureStreams(
  bus: Bus,
  fleet: string,
  replicas: number | null = null,
): Promise<Record<StreamName, { created: boolean; firstSeq: number; lastSeq: number }>> {
  const names = Object.keys(STREAMS) as StreamName[]
  const made = await Promise.all(
    names.map(async (name) => [name, await bus.ensureStream(streamConfigOf(fleet, name, replicas))] as const),
  )
  return Object.fromEntries(made) as Record<
    StreamName,
    { created: boolean; firstSeq: number; lastSeq: number }
  >
}
