/** A program that is there and cannot be executed, since the interpreter in its first line is not. */
import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { resolve } from 'node:path'
import { which } from './command.ts'

/** As many bytes of the first line as the kernel reads. */
const FIRST_LINE_BYTES = 256

/** @returns in words, or null when that is not the reason */
export function missingInterpreter(program: string, cwd: string, path: string | undefined): string | null {
  const file = program.includes('/') ? resolve(cwd, program) : which(program, path)
  const named = file === null ? null : /^#![ \t]*([^ \t\n]+)/.exec(beginningOf(file))?.[1]
  if (named == null || existsSync(resolve(cwd, named))) return null
  return `'${named.replaceAll('\r', String.raw`\r`)}' (first line of ${program}) is not there`
}

function beginningOf(file: string): string {
  let fd: number | null = null
  try {
    fd = openSync(file, 'r')
    const bytes = Buffer.alloc(FIRST_LINE_BYTES)
    return bytes.subarray(0, readSync(fd, bytes)).toString()
  } catch {
    return ''
  } finally {
    if (fd !== null) closeSync(fd)
  }
}
