/**
 * The machine that a figure is from: its kind, the time of an fsync on its disk, and what a process has in
 * memory.
 */
import { closeSync, fsyncSync, openSync, readFileSync, rmSync, statSync, writeSync } from 'node:fs'
import { arch, availableParallelism, cpus, loadavg, release, tmpdir, totalmem } from 'node:os'
import { join } from 'node:path'

export interface Machine {
  cpus: number
  model: string
  memoryBytes: number
  kernel: string
  arch: string
  node: string
  /** load of the last minute, before the first measurement: above 0.5 something else is running here too */
  load: number
}

export function describeMachine(): Machine {
  return {
    cpus: availableParallelism(),
    model: cpus()[0]?.model ?? 'unknown',
    memoryBytes: totalmem(),
    kernel: release(),
    arch: arch(),
    node: process.version,
    load: loadavg()[0]!,
  }
}

/** A local disk, not memory: /tmp may be a tmpfs, where an fsync costs nothing. */
export function diskDir(): string {
  try {
    return statSync('/var/tmp').isDirectory() ? '/var/tmp' : tmpdir()
  } catch {
    return tmpdir()
  }
}

/** ms of each of `times` appends of 512 bytes with an fsync */
export function fsyncTimes(dir: string, times: number): number[] {
  const file = join(dir, `fsync-${process.pid}`)
  const fd = openSync(file, 'a', 0o600)
  try {
    const bytes = Buffer.alloc(512, 'x')
    return Array.from({ length: times }, () => {
      const began = performance.now()
      writeSync(fd, bytes)
      fsyncSync(fd)
      return performance.now() - began
    })
  } finally {
    closeSync(fd)
    rmSync(file)
  }
}

const MB = 1e6
const KIB = 1024

/** Resident and proportional (shared pages counted once) memory, MB. @see proc(5) */
export function memoryOf(pid: number): { rss: number; pss: number } {
  return {
    rss: megabytes(`/proc/${pid}/status`, 'VmRSS'),
    pss: megabytes(`/proc/${pid}/smaps_rollup`, 'Pss'),
  }
}

function megabytes(file: string, field: string): number {
  return (
    (Number(new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(readFileSync(file, 'latin1'))?.[1]) * KIB) / MB
  )
}
