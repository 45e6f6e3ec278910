/**
 * Tells when a fork's records may have changed: by inotify where the system has watches left; the host's slow
 * poll is behind it.
 */
import { watch, type FSWatcher } from 'node:fs'

/** @param paths  of files and directories that exist. @returns how to stop */
export function watchPaths(paths: readonly string[], onChange: () => void): () => void {
  const watchers: FSWatcher[] = []
  for (const path of paths)
    try {
      const watcher = watch(path, { persistent: false }, onChange)
      watcher.on('error', () => watcher.close())
      watchers.push(watcher)
    } catch {
      // no watches left (fs.inotify.max_user_watches): the poll sees it, within a second
    }
  return () => {
    for (const watcher of watchers) watcher.close()
  }
}
