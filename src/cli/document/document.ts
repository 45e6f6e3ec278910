/**
 * Launch documents of the command line: from a file or stdin, with `--set`, `--backend` and paths made
 * absolute, checked here with their lines before anything is sent.
 */
import { readFile, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { Fault } from '../../protocol/faults.ts'
import { applySets, parseLaunchText, resolveLaunch, withAbsoluteCwd } from '../../protocol/launch/document.ts'
import type { Launch } from '../../protocol/launch/resolved.ts'
import { isEscaped, shownWord } from '../../system/exact-env.ts'
import type { Io } from '../frame/io.ts'
import { textOf } from '../frame/utf8.ts'
import { withCallerEnv } from './caller-env.ts'
import type { EnvFrom } from './env-from.ts'

export interface DocumentFlags {
  file: string
  set?: string[]
  backend?: string
  /** default: as `withCallerEnv` has it */
  envFrom?: EnvFrom
}

export interface ReadDocument {
  document: Record<string, unknown>
  launch: Launch
}

/** @throws {Fault} USAGE when the file cannot be read, SPEC_INVALID with lines */
export async function readDocument(
  io: Io,
  { file, set = [], backend, envFrom }: DocumentFlags,
): Promise<ReadDocument> {
  const text =
    file === '-'
      ? await io.stdin()
      : await readFile(resolve(io.cwd, file)).then(
          (bytes) => textOf(bytes, `'${file}'`),
          (error: NodeJS.ErrnoException) => {
            throw new Fault(
              'USAGE',
              `'${file}' cannot be read: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
              { hint: '-f FILE, or -f - for stdin' },
            )
          },
        )
  const { document, source } = parseLaunchText(text, file === '-' ? undefined : file)
  const base = await folderOf(io, file)
  const whole = applySets({ cwd: base, ...document }, [
    ...set,
    ...(backend === undefined ? [] : [`backend=${backend}`]),
  ])
  return checked({ cwd: base }, await withCallerEnv(io, whole, envFrom), source)
}

/** The file's; the caller's directory for what is no file of a folder: stdin, a process substitution. */
async function folderOf(io: Io, file: string): Promise<string> {
  const path = resolve(io.cwd, file)
  const isFile = file !== '-' && (await stat(path).catch(() => null))?.isFile() === true
  return isFile && !/^\/(dev|proc)\//.test(path) ? dirname(path) : io.cwd
}

/**
 * Resolve a document as the coordinator will, to refuse it here with its lines.
 *
 * @param cwd  what its relative directories are taken from
 */
export function checked(
  { cwd }: Pick<Io, 'cwd'>,
  document: Record<string, unknown>,
  source?: Parameters<typeof resolveLaunch>[1],
): ReadDocument {
  const absolute = withAbsoluteCwd(document, cwd)
  if (isEscaped(cwd) && directoriesOf(absolute).some((dir) => dir.startsWith(cwd)))
    throw new Fault(
      'USAGE',
      `the name of the directory '${shownWord(cwd)}' holds bytes that are no UTF-8; a launch cannot carry them`,
      { hint: 'launch from another directory, or with --cwd DIR' },
    )
  return { document: absolute, launch: resolveLaunch(absolute, source) }
}

function directoriesOf(document: Record<string, unknown>): string[] {
  const parts = [document, ...Object.values(document['roles'] ?? {})] as ({ cwd?: unknown } | null)[]
  return parts.flatMap((part) => (typeof part?.cwd === 'string' ? [part.cwd] : []))
}
