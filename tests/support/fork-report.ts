/** What an agent says of a fork that runs, and of which nothing else is known. */
import { parseForkId } from '../../src/protocol/names.ts'
import type { ForkReport } from '../../src/protocol/shapes.ts'

export function forkReport(forkId: string): ForkReport {
  const { run, role, index, attempt } = parseForkId(forkId)!
  return {
    forkId,
    run,
    role,
    index,
    attempt,
    phase: 'running',
    pid: 4000,
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
  } as ForkReport
}
