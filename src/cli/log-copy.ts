/** `--out DIR`: a copy of each source's bytes as a file, `DIR/RUN/ROLE-INDEX-SOURCE.log`, a later attempt's with its number. Gaps stay holes, and are said. */
import { mkdir, open, type FileHandle } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import type { LogGap, LogItem } from '../client/logs/items.ts'
import type { Io } from './io.ts'

export interface Copied {
  files: string[]
  gaps: LogGap[]
}

/** Copies until the log is complete; what was copied before a fault stays. */
export const copyLogs = async (items: AsyncIterable<LogItem>, cwd: string, out: string): Promise<Copied> => {
  const handles = new Map<string, FileHandle>()
  const gaps: LogGap[] = []
  const fileOf = async (item: LogItem): Promise<FileHandle> => {
    const [run, role, index] = item.worker.split('/')
    const file = join(resolve(cwd, out), run!, `${role}-${index}${item.attempt > 1 ? `-attempt${item.attempt}` : ''}-${item.source}.log`)
    let handle = handles.get(file)
    if (handle === undefined) {
      await mkdir(join(resolve(cwd, out), run!), { recursive: true })
      handles.set(file, (handle = await open(file, 'w')))
    }
    return handle
  }
  try {
    for await (const item of items) {
      if (item.kind === 'gap') gaps.push(item)
      if (item.kind === 'chunk') await (await fileOf(item)).write(item.bytes, 0, item.bytes.length, item.offset)
    }
  } finally {
    for (const handle of handles.values()) await handle.close()
  }
  return { files: [...handles.keys()].toSorted(), gaps }
}

export const sayCopied = (io: Io, { files, gaps }: Copied): void => {
  if (io.json) io.printJson({ files, gaps })
  else sayFiles(io, { files, gaps })
}
export const sayFiles = (io: Io, { files, gaps }: Copied): void => {
  io.stderr(files.length === 0 ? 'no logs to copy' : 'files written:')
  for (const file of files) io.stderr(`  ${relative(io.cwd, file)}`)
  for (const gap of gaps) io.stderr(`  gap: ${gap.worker} ${gap.source}, from byte ${gap.offset} ${gap.to === null ? 'on' : `to ${gap.to}`}: ${gap.why}`, { always: true })
}
