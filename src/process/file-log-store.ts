/**
 * The log store over a spool's log directories: `<logs>/<forkId>/<source>`, with the marks beside the sources
 * in `.marks`. Owns marks, floors and punching; reading is log-tail.ts and log-ranges.ts, and how long logs
 * are kept is retention.ts's.
 */
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { Fault, toFault } from '../protocol/faults.ts'
import { LogSource } from '../protocol/table.ts'
import { keeping } from '../system/descriptors.ts'
import { atomicWrite } from '../system/atomic-write.ts'
import { offsetOfTail, readRange } from './log-ranges.ts'
import { createTail } from './log-tail.ts'
import { watchSources } from './source-watch.ts'
import { punch } from './punch.ts'
import { NO_MARKS, type LogStore, type SourceMarks } from './log-store.ts'

const MARKS = '.marks'
/** The shim opens them before the program begins. */
const OF_EVERY_FORK = ['stdout', 'stderr']
let writes = 0

/** @param dirOf  directory of a fork's sources; those of all forks stand side by side, also after release */
export function fileLogStore(dirOf: (forkId: string) => string): LogStore {
  const keep = keeping(1 / 3)
  const fileOf = (forkId: string, source: string): string => join(dirOf(forkId), source)

  const sizes: LogStore['sizes'] = (forkId) => keep.briefly(() => sizesOf(forkId))
  const sizesOf = async (forkId: string): Promise<Record<string, number>> => {
    const names = (await readdir(dirOf(forkId)).catch(ifMissing<string[]>([]))).filter(isSource)
    const found = await Promise.all(
      names.map((name) => stat(fileOf(forkId, name)).then((s) => s.size, ifMissing(null))),
    )
    return Object.fromEntries(names.flatMap((name, i) => (found[i] === null ? [] : [[name, found[i]!]])))
  }
  const marks: LogStore['marks'] = async (forkId) => {
    const file = join(dirOf(forkId), MARKS)
    const text = await keep.briefly(() => readFile(file, 'utf8').catch(ifMissing('')))
    try {
      return JSON.parse(text) as Record<string, SourceMarks>
    } catch {
      return {}
    }
  }
  const floorOf = async (forkId: string, source: string): Promise<number> =>
    (await marks(forkId))[source]?.floor ?? 0

  return {
    retained: () => readdir(dirname(dirOf('any'))).catch(ifMissing<string[]>([])),
    sizes,
    async missing(forkId) {
      const there = await sizes(forkId)
      return OF_EVERY_FORK.filter((source) => there[source] === undefined)
    },
    marks,
    mark: (forkId, all) => keep.briefly(() => writeMarks(dirOf(forkId), forkId, all)),
    watch(forkId, onMore) {
      const watcher = watchSources(dirOf(forkId), (name) => {
        if (isSource(name)) onMore(name)
      })
      return () => watcher.close()
    },
    tail: (forkId, source, { generation, offset, chunkBytesMax }) =>
      createTail(fileOf(forkId, source), { generation, offset, chunkBytesMax, keep }),
    async read(forkId, source, offset, bytesMax) {
      const file = fileOf(forkId, source)
      if (!isSource(source) || (await stat(file).catch(ifMissing(null))) === null) {
        const removed = isSource(source) ? (await marks(forkId))[source] : undefined
        if (removed === undefined) throw new Fault('WORKER_NOT_FOUND', `${forkId} has no log '${source}'`)
        if (offset >= removed.shipped) return new Uint8Array(0)
        throw new Fault('GONE', `${forkId} ${source}: its file was removed`, {
          data: { floor: removed.shipped },
        })
      }
      const floor = await floorOf(forkId, source)
      if (offset < floor)
        throw new Fault('GONE', `${forkId} ${source}: bytes before ${floor} are no longer kept`, {
          data: { floor },
        })
      return keep.briefly(() => readRange(file, offset, bytesMax))
    },
    offsetOfTail: async (forkId, source, lines) =>
      offsetOfTail(fileOf(forkId, source), lines, await floorOf(forkId, source)),
    async giveUp(forkId, source, floor) {
      const all = await marks(forkId)
      all[source] = { ...(all[source] ?? NO_MARKS), floor }
      await atomicWrite(join(dirOf(forkId), MARKS), JSON.stringify(all))
      await punch(fileOf(forkId, source), floor)
    },
    close: async () => undefined,
  }
}

async function writeMarks(dir: string, forkId: string, all: Record<string, SourceMarks>): Promise<void> {
  // no fsync: marks that a power cut loses are shipped again, and readers trim what they have
  const file = join(dir, MARKS)
  // a name of its own: two writes of one fork may be under way
  const temporary = `${file}.${writes++}.tmp`
  try {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    await writeFile(temporary, JSON.stringify(all), { mode: 0o600 })
    await rename(temporary, file)
  } catch (error) {
    await rm(temporary, { force: true })
    const why = (error as Error).message
    throw new Fault('SPOOL', `the marks of ${forkId}'s logs cannot be written: ${why}`, { cause: error })
  }
}

function isSource(name: string): boolean {
  return LogSource.safeParse(name).success
}

function ifMissing<T>(value: T) {
  return (error: unknown): T => {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return value
    throw toFault(error, 'SPOOL')
  }
}
