/**
 * The `exec` file: what the shim runs, and what of the start has to be known after the agent died. NUL-ended
 * words, so values may hold anything else, bytes too that are no UTF-8 (system/exact-env.ts). Owns writing it
 * and reading it back; the shim reads it too.
 */
import { writeFileSync } from 'node:fs'
import { isOutOfDescriptors } from '../system/descriptors.ts'
import { readPlainSync } from '../system/files.ts'
import { Fault } from '../protocol/faults.ts'
import { decodeWord, encodeWord } from '../system/exact-env.ts'

export interface ExecFile {
  cwd: string
  logDir: string
  /** the cgroup that the program enters, or null */
  cgroup: string | null
  bootId: string
  /** the kernel's count of OOM kills before the start, or null where it does not count */
  oomKills: number | null
  argv: readonly string[]
  env: Readonly<Record<string, string>>
}

/**
 * @throws {Fault} WORKER_CONFIG when a word holds a NUL, which no program can be given; SPOOL when it cannot
 * be written
 */
export function writeExecFile(file: string, exec: ExecFile): void {
  const words = [
    exec.cwd,
    exec.logDir,
    exec.cgroup ?? '',
    exec.bootId,
    exec.oomKills ?? '',
    exec.argv.length,
    ...exec.argv,
  ]
  for (const [name, value] of Object.entries(exec.env)) words.push(`${name}=${value}`)
  const wrong = words.find((word) => typeof word === 'string' && word.includes('\0'))
  if (wrong !== undefined)
    throw new Fault(
      'WORKER_CONFIG',
      `a NUL byte cannot be given to a program: '${String(wrong).replaceAll('\0', '\\0').slice(0, 80)}'`,
    )
  try {
    writeFileSync(file, encodeWord(`${words.join('\0')}\0`), { mode: 0o600 })
  } catch (error) {
    throw new Fault('SPOOL', `the spool cannot be written: ${(error as Error).message}`, { cause: error })
  }
}

/** More than the kernel takes of arguments and environment together. */
const EXEC_BYTES_MAX = 16 * 2 ** 20

/** @returns null when no start has been tried */
export function readExecFile(file: string): ExecFile | null {
  let words: string[]
  try {
    words = readPlainSync(file, 'latin1', EXEC_BYTES_MAX)
      .split('\0')
      .map((word) => decodeWord(Buffer.from(word, 'latin1')))
  } catch (error) {
    if (isOutOfDescriptors(error)) throw error
    return null
  }
  const [cwd, logDir, cgroup, bootId, oomKills, argc, ...rest] = words
  const count = Number(argc)
  if (words.length < 8 || !(count > 0)) return null
  const env: Record<string, string> = {}
  for (const word of rest.slice(count, -1))
    env[word.slice(0, word.indexOf('='))] = word.slice(word.indexOf('=') + 1)
  return {
    cwd: cwd!,
    logDir: logDir!,
    cgroup: cgroup || null,
    bootId: bootId!,
    oomKills: oomKills ? Number(oomKills) : null,
    argv: rest.slice(0, count),
    env,
  }
}
