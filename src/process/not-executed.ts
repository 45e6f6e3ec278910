/**
 * A program that is there and was not executed, in words: what it is (a directory, a link to nothing, of
 * another machine), or that what its beginning names (an interpreter, a loader) cannot be executed.
 */
import { closeSync, existsSync, readlinkSync, readSync, statSync } from 'node:fs'
import { arch } from 'node:process'
import { resolve } from 'node:path'
import { openPlainSync } from '../system/files.ts'
import { isExecutable, which } from '../system/program-path.ts'

/** As many bytes of the first line as the kernel reads. */
const FIRST_LINE_BYTES = 256
/** A script whose interpreter is a script: as deep as the kernel goes. */
const SCRIPTS_MAX = 4

/** @returns in words, or null when the file does not say why */
export function whyNotExecuted(program: string, cwd: string, path: string | undefined): string | null {
  const file = fileOf(program, cwd, path)
  return file === null ? null : whyNot(file, program, cwd, SCRIPTS_MAX)
}

/** A program for another machine is read by a shell, which says something else. */
export function foreignProgram(program: string, cwd: string, path: string | undefined): string | null {
  const file = fileOf(program, cwd, path)
  const made = file === null ? null : madeFor(beginningOf(file, 20))
  return made === null || made === HERE ? null : `${program} is made for ${made}, and this is ${HERE}`
}

function fileOf(program: string, cwd: string, path: string | undefined): string | null {
  return program.includes('/') ? resolve(cwd, program) : which(program, path)
}

/** @param name  as the reader knows the file */
function whyNot(file: string, name: string, cwd: string, deeper: number): string | null {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined) {
    const target = linkOf(file)
    return target === null ? null : `${name} is a link to ${target}, which is not there`
  }
  if (stat.isDirectory()) return `${name} is a directory`
  const beginning = beginningOf(file, FIRST_LINE_BYTES)
  const named = /^#![ \t]*([^ \t\n]+)/.exec(beginning.toString())?.[1]
  const loader = named === undefined ? loaderOf(file, beginning) : null
  const needed = named ?? loader
  if (needed === null) return null
  const place = named === undefined ? 'the loader' : 'first line'
  const where = `'${needed.replaceAll('\r', String.raw`\r`)}' (${place} of ${name})`
  const neededFile = resolve(cwd, needed)
  if (!existsSync(neededFile)) return `${where} is not there`
  if (statSync(neededFile).isDirectory()) return `${where} is a directory`
  if (!isExecutable(neededFile)) return `${where} may not be executed`
  return deeper > 0 && named !== undefined ? whyNot(neededFile, needed, cwd, deeper - 1) : null
}

function linkOf(file: string): string | null {
  try {
    return readlinkSync(file)
  } catch {
    return null
  }
}

function beginningOf(file: string, length: number, from = 0): Buffer {
  let fd: number | null = null
  try {
    fd = openPlainSync(file)
    const bytes = Buffer.alloc(length)
    return bytes.subarray(0, readSync(fd, bytes, 0, length, from))
  } catch {
    return Buffer.alloc(0)
  } finally {
    if (fd !== null) closeSync(fd)
  }
}

const MAGIC = Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]) // ELF, 64 bits, little-endian
const MACHINES: Readonly<Record<number, string>> = { 62: 'x64', 183: 'arm64', 243: 'riscv64', 21: 'ppc64' }
const HERE: string = arch

/** @returns the machine, as Node names it; null when it is no program of 64 bits that we know */
function madeFor(beginning: Buffer): string | null {
  if (beginning.length < 20 || !beginning.subarray(0, MAGIC.length).equals(MAGIC)) return null
  return MACHINES[beginning.readUInt16LE(18)] ?? null
}

const PT_INTERP = 3
const HEADERS_MAX = 64

/** The loader that an executable names (PT_INTERP): another C library's is often not there. */
function loaderOf(file: string, beginning: Buffer): string | null {
  if (beginning.length < 64 || madeFor(beginning) === null) return null
  const size = beginning.readUInt16LE(54)
  const count = Math.min(beginning.readUInt16LE(56), HEADERS_MAX)
  if (size < 56) return null
  const headers = beginningOf(file, size * count, Number(beginning.readBigUInt64LE(32)))
  for (let at = 0; at + 56 <= headers.length; at += size) {
    if (headers.readUInt32LE(at) !== PT_INTERP) continue
    const from = Number(headers.readBigUInt64LE(at + 8))
    const length = Math.min(Number(headers.readBigUInt64LE(at + 32)), FIRST_LINE_BYTES)
    return beginningOf(file, length, from).toString().replace(/\0.*$/s, '') || null
  }
  return null
}
