/**
 * The LogStore of a simulated machine: one source `stdout` per started fork, that grows at its program's rate
 * while the tree lives. The bytes at an offset follow from fork id and offset alone, so a checker can tell
 * every byte without keeping files.
 */
import { Fault } from '../../src/protocol/faults.ts'
import type { LogStore, SourceMarks } from '../../src/process/log-store.ts'
import type { Random } from './random.ts'
import type { SimMachine } from './sim-host.ts'
import type { SimProcess } from './sim-process.ts'

const SOURCE = 'stdout'
const LINE_BYTES = 32

/** the file's bytes [from, to) */
export function logBytes(forkId: string, from: number, to: number): Uint8Array {
  const bytes = new Uint8Array(Math.max(0, to - from))
  for (let i = 0; i < bytes.length; i++) {
    const at = from + i
    bytes[i] =
      at % LINE_BYTES === LINE_BYTES - 1 ? 10 : 97 + ((at * 7 + forkId.charCodeAt(at % forkId.length)) % 26)
  }
  return bytes
}

export function logSize(machine: SimMachine, forkId: string): number {
  const spool = machine.spools.get(forkId)
  if (spool === undefined || spool.startedNow === null || spool.program.exec !== null) return 0
  return Math.floor(((spool.endedNow ?? machine.now()) - spool.startedNow) * (spool.program.logRate / 1000))
}

/** marks survive the agent: they live with the machine */
export type LogMarks = Map<string, Record<string, SourceMarks>>

export function simLogStore(
  machine: SimMachine,
  process: SimProcess,
  kept: LogMarks,
  random: Random,
): LogStore {
  const there = (forkId: string): boolean => machine.spools.get(forkId)?.startedNow != null
  const later = <T>(label: string, run: () => T): Promise<T> =>
    new Promise((resolve, reject) =>
      process.clock.after(random.int(0, 2), () => {
        if (!process.effect(`logs.${label}`)) return
        try {
          resolve(run())
        } catch (error) {
          reject(error as Error)
        }
      }),
    )
  const floorOf = (forkId: string): number => kept.get(forkId)?.[SOURCE]?.floor ?? 0
  const read = (forkId: string, offset: number, bytesMax: number): Uint8Array =>
    logBytes(forkId, offset, Math.min(logSize(machine, forkId), offset + bytesMax))

  return {
    retained: () => later('retained', () => [...machine.spools.keys()].filter(there)),
    sizes: (forkId) =>
      later('sizes', () =>
        there(forkId) ? { [SOURCE]: logSize(machine, forkId) } : ({} as Record<string, number>),
      ),
    missing: async () => [],
    marks: (forkId) => later('marks', () => structuredClone(kept.get(forkId) ?? {})),
    mark: (forkId, marks) => later('mark', () => void kept.set(forkId, structuredClone(marks))),
    watch(forkId, onMore) {
      let seen = -1
      return process.clock.every(200, () => {
        const size = there(forkId) ? logSize(machine, forkId) : -1
        if (size === seen) return
        seen = size
        onMore(SOURCE)
      })
    },
    tail(forkId, _source, from) {
      let offset = from.offset
      return {
        read: () =>
          later('tail', () => {
            const bytes = read(forkId, offset, from.chunkBytesMax)
            if (bytes.length === 0) return null
            offset += bytes.length
            return { generation: 0, offset: offset - bytes.length, bytes }
          }),
        fileIs: () => 'there',
        seek: (to) => void (offset = to),
        close: () => Promise.resolve(),
      }
    },
    read: (forkId, source, offset, bytesMax) =>
      later('read', () => {
        if (!there(forkId) || source !== SOURCE)
          throw new Fault('WORKER_NOT_FOUND', `no ${source} of ${forkId}`)
        if (offset < floorOf(forkId))
          throw new Fault('GONE', `bytes before ${floorOf(forkId)} are gone`, {
            data: { floor: floorOf(forkId) },
          })
        return read(forkId, offset, bytesMax)
      }),
    offsetOfTail: (forkId, _source, lines) =>
      later('read', () =>
        Math.max(floorOf(forkId), (Math.floor(logSize(machine, forkId) / LINE_BYTES) - lines) * LINE_BYTES),
      ),
    giveUp: (forkId, source, floor) =>
      later('mark', () => {
        const marks = kept.get(forkId) ?? {}
        const before = marks[source]
        if (before !== undefined) kept.set(forkId, { ...marks, [source]: { ...before, floor } })
      }),
    close: () => Promise.resolve(),
  }
}
