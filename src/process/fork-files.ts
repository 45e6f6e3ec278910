/**
 * What `prepare` puts on disk for a fork, and reading it back. Owns fork.json and the blank records; the exec
 * file is exec-file.ts.
 */
import { existsSync, lstatSync, mkdirSync, unlinkSync, writeFileSync } from 'node:fs'
import { Fault } from '../protocol/faults.ts'
import { Bindings, ForkSpec } from '../protocol/launch/resolved.ts'
import { readJsonSync, removeTreeSync, replaceFileSync } from '../system/files.ts'
import { writeExecFile, type ExecFile } from './exec-file.ts'
import { makeFence } from './fence-file.ts'
import type { Prepared } from '../protocol/host.ts'
import { prepareRanks } from './ranks.ts'
import { BLANK_RECORD, recordText, type ForkRecord } from './records.ts'
import { writeSetUp } from './set-up.ts'
import { fileOf, forkDirOf, logDirOf } from './spool.ts'

export interface ForkOnDisk {
  spec: ForkSpec
  prepared: Prepared
}

/** @throws {Fault} SPOOL when the disk is full or may not be written; then nothing of the fork is left */
export function makeForkFiles(spool: string, fork: ForkOnDisk): void {
  const { forkId, torchrun } = fork.spec
  const directory = forkDirOf(spool, forkId)
  try {
    mkdirSync(directory, { mode: 0o700 })
    mkdirSync(logDirOf(spool, forkId), { mode: 0o700 })
    writeFileSync(fileOf.record(directory), BLANK_RECORD, { mode: 0o600 })
    if (fork.spec.setup !== null) writeSetUp(fileOf.setUp(directory))
    makeFence(directory, fork.spec)
    if (torchrun !== null) prepareRanks(fileOf.ranks(directory), torchrun.nproc)
    // last: a fork without it was never prepared
    writeFileSync(fileOf.fork(directory), JSON.stringify(fork), { mode: 0o600 })
  } catch (error) {
    removeForkFiles(spool, forkId, { logs: true })
    throw new Fault('SPOOL', `the spool cannot be written: ${(error as Error).message}`, { cause: error })
  }
}

/**
 * The directory of a fork that runs was removed: what the next agent needs to know it again. The shim's
 * record comes from the shim, with its next word; here it has what was read of it.
 */
export function restoreForkFiles(spool: string, fork: ForkOnDisk, record: ForkRecord, exec: ExecFile): void {
  const { spec, prepared } = fork
  const directory = forkDirOf(spool, spec.forkId)
  // what a worker has put in its place leads elsewhere, where nothing of ours is to be
  if (lstatSync(directory, { throwIfNoEntry: false })?.isSymbolicLink()) unlinkSync(directory)
  mkdirSync(fileOf.started(directory), { recursive: true, mode: 0o700 })
  const make = (file: string, write: () => void): void => (existsSync(file) ? undefined : write())
  make(fileOf.record(directory), () => replaceFileSync(fileOf.record(directory), recordText(record)))
  make(fileOf.exec(directory), () => writeExecFile(fileOf.exec(directory), exec))
  make(fileOf.fence(directory), () => makeFence(directory, spec))
  const nproc = spec.torchrun?.nproc
  if (nproc !== undefined) make(fileOf.ranks(directory), () => prepareRanks(fileOf.ranks(directory), nproc))
  replaceFileSync(fileOf.fork(directory), JSON.stringify({ spec, prepared }))
}

export function removeForkFiles(spool: string, forkId: string, { logs }: { logs: boolean }): void {
  removeTreeSync(forkDirOf(spool, forkId))
  if (logs) removeTreeSync(logDirOf(spool, forkId))
}

/** @returns null for a prepare that did not get to its end */
export function readForkFiles(spool: string, forkId: string): ForkOnDisk | null {
  const fork = readJsonSync(fileOf.fork(forkDirOf(spool, forkId))) as ForkOnDisk | null
  const spec = ForkSpec.safeParse(fork?.spec)
  return fork !== null && spec.success ? { spec: spec.data, prepared: fork.prepared } : null
}

/** Kept where a probe or a pre-stop call will need them again after the agent died. */
export function writeBindings(forkDir: string, bindings: Bindings): void {
  return writeFileSync(fileOf.bindings(forkDir), JSON.stringify(bindings), { mode: 0o600 })
}

export function readBindings(forkDir: string): Bindings {
  return Bindings.safeParse(readJsonSync(fileOf.bindings(forkDir))).data ?? { roles: {}, rendezvous: null }
}
