/**
 * Where a secret is written that a command makes: a file of its own, 0600, or stdout when that is no
 * terminal. A file that the shell made for stdout with the ordinary umask is made ours alone before a byte of
 * the secret is in it.
 */
import { access } from 'node:fs/promises'
import { fchmodSync, fstatSync, writeFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { Fault } from '../../protocol/faults.ts'
import { writePrivate } from '../../system/private-file.ts'
import type { Io } from './io.ts'

const OTHERS = 0o077

/**
 * To be called before anything is made.
 *
 * @param file  of `-o`
 * @param again  the command to type, up to where its output goes
 * @throws {Fault} USAGE for a terminal, EXISTS for a file that is there
 */
export async function refuseOpenOutput(io: Io, file: string | undefined, again: string): Promise<void> {
  if (file === undefined) {
    if (io.isTty)
      throw new Fault('USAGE', 'a credential is a secret, and is not written to a terminal', {
        hint: `redirect it, > FILE, or write: ${again} -o FILE`,
      })
    return
  }
  const isThere = await access(resolve(io.cwd, file)).then(
    () => true,
    () => false,
  )
  if (isThere)
    throw new Fault('EXISTS', `'${file}' is there, and may hold a credential that is in use`, {
      hint: 'name another file, or remove it first',
    })
}

/** @throws {Fault} SETUP, PERMISSION when it cannot be written as ours alone */
export async function writeSecret(io: Io, file: string | undefined, text: string): Promise<void> {
  if (file !== undefined) return writePrivate(resolve(io.cwd, file), text)
  if (io.stdoutFd !== null && fstatSync(io.stdoutFd).isFile()) return writeOurs(io, io.stdoutFd, text)
  io.stdout(text)
  await io.drained()
}

/** Written at once, so that a full disk is a fault of this command's. */
function writeOurs(io: Io, fd: number, text: string): void {
  makeOurs(io, fd)
  try {
    writeFileSync(fd, text)
  } catch (error) {
    throw new Fault('SETUP', `the file of stdout cannot be written: ${(error as Error).message}`, {
      cause: error,
    })
  }
}

function makeOurs(io: Io, fd: number): void {
  const stats = fstatSync(fd)
  if ((stats.mode & OTHERS) === 0) return
  const mode = (stats.mode & 0o777).toString(8).padStart(4, '0')
  try {
    fchmodSync(fd, 0o600)
  } catch (error) {
    throw new Fault(
      'PERMISSION',
      `the file of stdout can be read by others (mode ${mode}), and is not ours`,
      {
        hint: 'write it to a file of yours: -o FILE',
        cause: error,
      },
    )
  }
  io.stderr(`the file that stdout goes to could be read by others (mode ${mode}): it is 0600 now`)
}
