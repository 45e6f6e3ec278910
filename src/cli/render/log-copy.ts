/**
 * `--out DIR`: a copy of each source's bytes as a file, `DIR/RUN/ROLE-INDEX-SOURCE.log`, a later attempt's
 * with its number. Gaps stay holes, and are said.
 */
import { access, constants, mkdir, open, stat, type FileHandle } from 'node:fs/promises'
import { dirname, join, relative, resolve } from 'node:path'
import type { LogGap, LogItem } from '../../client/logs/items.ts'
import { Fault } from '../../protocol/faults.ts'
import type { Io } from '../frame/io.ts'

export interface Copied {
  files: string[]
  gaps: LogGap[]
}

/**
 * Make the directory, before anything is launched whose logs could then not be kept.
 *
 * @throws {Fault} USAGE when it cannot be made, is no directory or cannot be written
 */
export async function prepareCopies(cwd: string, out: string): Promise<void> {
  const directory = resolve(cwd, out)
  try {
    await makeDirectory(directory)
    await access(directory, constants.W_OK | constants.X_OK)
  } catch (error) {
    throw new Fault('USAGE', `logs cannot be kept in '${out}': ${(error as Error).message}`, {
      cause: error,
      hint: 'give --out a directory that can be written',
    })
  }
}

/** Not `recursive`: below /proc node tries that for ever. */
async function makeDirectory(directory: string, retry = true): Promise<void> {
  try {
    await mkdir(directory)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' && retry && dirname(directory) !== directory) {
      await makeDirectory(dirname(directory))
      return makeDirectory(directory, false)
    }
    if (
      !(await stat(directory).then(
        (found) => found.isDirectory(),
        () => false,
      ))
    )
      throw error
  }
}

/** Copies until the log is complete; what was copied before a fault stays. */
export async function copyLogs(items: AsyncIterable<LogItem>, cwd: string, out: string): Promise<Copied> {
  const handles = new Map<string, FileHandle>()
  const gaps: LogGap[] = []
  const fileOf = async (item: LogItem): Promise<FileHandle> => {
    const [run, role, index] = item.worker.split('/')
    const file = join(
      resolve(cwd, out),
      run!,
      `${role}-${index}${item.attempt > 1 ? `-attempt${item.attempt}` : ''}-${item.source}.log`,
    )
    let handle = handles.get(file)
    if (handle === undefined) {
      await makeDirectory(dirname(file))
      handles.set(file, (handle = await open(file, 'w')))
    }
    return handle
  }
  try {
    for await (const item of items) {
      if (item.kind === 'gap') gaps.push(item)
      if (item.kind === 'chunk')
        await (await fileOf(item)).write(item.bytes, 0, item.bytes.length, item.offset)
    }
  } finally {
    for (const handle of handles.values()) await handle.close()
  }
  return { files: [...handles.keys()].toSorted(), gaps }
}

export function sayCopied(io: Io, { files, gaps }: Copied): void {
  if (io.json) io.printJson({ files, gaps })
  else sayFiles(io, { files, gaps })
}
export function sayFiles(io: Io, { files, gaps }: Copied): void {
  io.stderr(files.length === 0 ? 'no logs to copy' : 'files written:')
  for (const file of files) io.stderr(`  ${relative(io.cwd, file)}`)
  for (const gap of gaps)
    io.stderr(
      `  gap: ${gap.worker} ${gap.source}, from byte ${gap.offset} ${gap.to === null ? 'on' : `to ${gap.to}`}: ${gap.why}`,
      { always: true },
    )
}
