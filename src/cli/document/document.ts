/**
 * Launch documents of the command line: from a file or stdin, with `--set`, `--backend` and paths made
 * absolute, checked here with their lines before anything is sent.
 */
import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { Fault } from '../../protocol/faults.ts'
import { applySets, parseLaunchText, resolveLaunch, withAbsoluteCwd } from '../../protocol/launch/document.ts'
import type { Launch } from '../../protocol/launch/resolved.ts'
import type { Io } from '../frame/io.ts'

export interface DocumentFlags {
  file: string
  set?: string[]
  backend?: string
}

export interface ReadDocument {
  document: Record<string, unknown>
  launch: Launch
}

/** @throws {Fault} USAGE when the file cannot be read, SPEC_INVALID with lines */
export async function readDocument(
  io: Io,
  { file, set = [], backend }: DocumentFlags,
): Promise<ReadDocument> {
  const text =
    file === '-'
      ? await io.stdin()
      : await readFile(resolve(io.cwd, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
          throw new Fault(
            'USAGE',
            `'${file}' cannot be read: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
            { hint: '-f FILE, or -f - for stdin' },
          )
        })
  const { document, source } = parseLaunchText(text, file === '-' ? undefined : file)
  return checked(
    io,
    applySets(document, [...set, ...(backend === undefined ? [] : [`backend=${backend}`])]),
    source,
  )
}

/** Resolve a document as the coordinator will, to refuse it here with its lines. */
export function checked(
  io: Io,
  document: Record<string, unknown>,
  source?: Parameters<typeof resolveLaunch>[1],
): ReadDocument {
  const absolute = withAbsoluteCwd(document, io.cwd)
  return { document: absolute, launch: resolveLaunch(absolute, source) }
}
