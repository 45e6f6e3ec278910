/**
 * Watching a directory of log sources: which of them may have grown. Reading them is log-tail.ts.
 */
import { watch, type FSWatcher } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'

/** A flood of writes is told once in this time. */
const COALESCE_MS = 10
/** So many events in that time are a flood. */
const FLOOD_EVENTS = 200
const FLOOD_POLL_MS = 50
/** Where nothing can be watched. */
const POLL_MS = 200

/**
 * Tell, for each file of a directory, that it is there and whenever it may have more; never from inside the
 * call. One watch for all sources of a fork. Under a flood of writes sizes are looked at instead, since each
 * event costs us and the writer; so they are where the system has no watches left or the directory is not
 * there yet.
 */
export function watchSources(dir: string, onSource: (source: string) => void): { close(): void } {
  const dirty = new Set<string>()
  const sizes = new Map<string, number>()
  let events = 0
  let flushing: NodeJS.Timeout | null = null
  let polling: NodeJS.Timeout | null = null
  let watcher: FSWatcher | null = null
  let closed = false

  const touch = (source: string): void => {
    dirty.add(source)
    flushing ??= setTimeout(flush, COALESCE_MS)
  }
  const flush = (): void => {
    flushing = null
    events = 0
    const sources = [...dirty]
    dirty.clear()
    for (const source of sources) if (!closed) onSource(source)
  }

  /** @returns whether any size is another one than at the last look */
  const look = async (): Promise<boolean> => {
    const changed = await changedSources(dir, sizes)
    if (closed) return false
    for (const source of changed) touch(source)
    return changed.length > 0
  }

  const startPolling = (ms: number): void => {
    watcher?.close()
    watcher = null
    if (polling !== null) clearTimeout(polling)
    if (closed) return
    polling = setTimeout(async () => {
      if (await look()) startPolling(FLOOD_POLL_MS)
      else startWatching()
    }, ms)
  }
  const startWatching = (): void => {
    if (closed) return
    try {
      watcher = watch(dir, (_, source) => {
        if (source !== null) touch(source)
        if (++events > FLOOD_EVENTS) startPolling(FLOOD_POLL_MS)
      })
      watcher.on('error', () => startPolling(POLL_MS))
      // Writes before the watch began made no event.
      void look()
    } catch {
      startPolling(POLL_MS)
    }
  }
  startWatching()

  return {
    close() {
      closed = true
      watcher?.close()
      if (flushing !== null) clearTimeout(flushing)
      if (polling !== null) clearTimeout(polling)
    },
  }
}

/** Sources whose size is another one than `sizes` says, which then has the new ones. */
async function changedSources(dir: string, sizes: Map<string, number>): Promise<string[]> {
  const changed: string[] = []
  for (const source of await readdir(dir).catch(() => [])) {
    const size = await stat(join(dir, source)).then(
      (found) => found.size,
      () => null,
    )
    if (size === null || sizes.get(source) === size) continue
    sizes.set(source, size)
    changed.push(source)
  }
  return changed
}
