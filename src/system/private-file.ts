/**
 * Files that hold a secret: read when they are ours and nobody else could read or exchange them, written so
 * that nobody else ever can. Owns who may hold such a file and its directory; knows nothing of what is in it.
 *
 * What is judged is the file that was opened, so nothing can be exchanged between look and read. A link is
 * followed, as ssh does, when both directories, its own and that of the file, are ours.
 */
import { constants, type Stats } from 'node:fs'
import { mkdir, open, realpath, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import { atomicWrite } from './atomic-write.ts'

/** Nothing waits for the writer of a pipe. */
const OPEN = constants.O_RDONLY | constants.O_NONBLOCK
const OTHERS_READ_OR_WRITE = 0o077
const OTHERS_WRITE = 0o022
const STICKY = 0o1000

/**
 * @returns null when the file (or a directory above it) is not there
 * @throws {Fault} PERMISSION when it is somebody else's, or others can read or exchange it
 */
export async function readPrivate(file: string): Promise<string | null> {
  const handle = await open(file, OPEN).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ENOTDIR') return null
    throw error
  })
  if (handle === null) return null
  try {
    const stats = await handle.stat()
    if (!stats.isFile()) throw new Error(`'${file}' is no plain file`)
    refuseStranger(`'${file}'`, stats)
    if ((stats.mode & OTHERS_READ_OR_WRITE) !== 0)
      throw new Fault(
        'PERMISSION',
        `'${file}' holds a secret, and others than you may read or change it (mode ${modeOf(stats)})`,
        { hint: `chmod 600 ${shellWord(file)}` },
      )
    const real = await realpath(file).catch(() => file)
    for (const directory of new Set([dirname(file), dirname(real)])) await refuseOpenDirectory(directory)
    return await handle.readFile('utf8')
  } finally {
    await handle.close()
  }
}

/**
 * The old file stays whole until the new one is there. A link in its place is replaced, not followed.
 *
 * @throws {Fault} PERMISSION for a directory that others can write, SETUP when it cannot be written
 */
export async function writePrivate(file: string, content: string): Promise<void> {
  try {
    await makePrivateDirectory(dirname(file))
    await atomicWrite(file, content, 0o600)
  } catch (error) {
    if (error instanceof Fault) throw error
    const { code, message } = error as NodeJS.ErrnoException
    const isFull = code === 'ENOSPC' || code === 'EDQUOT'
    throw new Fault(
      'SETUP',
      `'${file}' cannot be written: ${isFull ? 'there is no space left' : message}; a file that was there stays as it was`,
      { cause: error },
    )
  }
}

/**
 * One that is there stays as it is.
 *
 * @throws {Fault} PERMISSION for one that others can write
 */
export async function makePrivateDirectory(path: string): Promise<void> {
  await mkdir(path, { recursive: true, mode: 0o700 })
  await refuseOpenDirectory(path)
}

/** Only root may act for somebody else, and so only root's files may stand in for one's own. */
function refuseStranger(named: string, { uid }: Stats): void {
  const own = process.geteuid?.() ?? uid
  if (uid !== own && uid !== 0)
    throw new Fault('PERMISSION', `${named} belongs to user id ${uid}, not to you (${own})`, {
      hint: 'use one that is yours, in a directory of yours, with mode 600',
    })
}

async function refuseOpenDirectory(directory: string): Promise<void> {
  const stats = await stat(directory)
  const named = `the directory '${directory}' of a secret`
  refuseStranger(named, stats)
  if ((stats.mode & OTHERS_WRITE) !== 0 && (stats.mode & STICKY) === 0)
    throw new Fault(
      'PERMISSION',
      `${named} can be written by others than you (mode ${modeOf(stats)}): they could put another in its place`,
      { hint: `chmod go-w ${shellWord(directory)}` },
    )
}

function modeOf({ mode }: Stats): string {
  return (mode & 0o7777).toString(8).padStart(4, '0')
}

function shellWord(text: string): string {
  return /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`
}
