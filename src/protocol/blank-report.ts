/** A report of a fork of which its id and phase are all that is known. */
import { parseForkId } from './names.ts'
import type { ForkReport } from './shapes.ts'

/** @param forkId  a fork id that was checked before */
export function blankReport(forkId: string, phase: ForkReport['phase']): ForkReport {
  return {
    forkId,
    ...parseForkId(forkId)!,
    phase,
    pid: null,
    host: null,
    addr: null,
    ports: [],
    rendezvousPort: null,
    gpus: [],
    cores: [],
    preparedAt: null,
    startedAt: null,
    exitedAt: null,
    ready: false,
    readyReason: null,
    exit: null,
    receipt: null,
    stderrTail: [],
    errorFile: null,
    ranks: [],
    logsFinal: null,
    startFault: null,
  }
}
