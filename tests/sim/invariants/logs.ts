/** I5: the log that readers have is the file, or a gap has a name. */
import { type Check, isWorkerEvent, resetIn } from './invariant.ts'
import { logBytes } from '../../support/sim-log-store.ts'

export const logsAreTheFile: Check = ({ facts, sizeOf }, found) => {
  const covered = new Map<string, [number, number][]>()
  const add = (forkId: string, from: number, to: number): void =>
    void covered.set(forkId, [...(covered.get(forkId) ?? []), [from, to]])
  const reach = (forkId: string): number => {
    let end = 0
    for (const [from, to] of (covered.get(forkId) ?? []).sort((a, b) => a[0] - b[0]))
      if (from <= end) end = Math.max(end, to)
    return end
  }
  for (const fact of facts) {
    if (fact.kind === 'log') {
      if (fact.offset !== null) {
        const { forkId, offset, bytes } = fact
        if (!Buffer.from(bytes).equals(logBytes(forkId, offset, offset + bytes.length)))
          found(fact.at, `the log of ${forkId} at ${offset} is not the file's`)
        if (offset + bytes.length > sizeOf(forkId))
          found(fact.at, `the log of ${forkId} has bytes behind the end of the file`)
        add(forkId, offset, offset + bytes.length)
      }
      if (fact.record?.kind === 'lost') add(fact.forkId, fact.record.from, fact.record.to)
    }
    if (isWorkerEvent(fact) && fact.body.what === 'logs-final') {
      const { forkId, logsFinal } = fact.body
      const said = logsFinal?.['stdout']
      for (const [from, to] of said?.lost ?? []) add(forkId, from, to)
      if ((said?.bytes ?? 0) !== sizeOf(forkId))
        found(
          fact.at,
          `${forkId}: logs-final says ${said?.bytes ?? 'nothing'}, the file has ${sizeOf(forkId)} bytes`,
        )
      if (reach(forkId) < sizeOf(forkId) && resetIn(facts) > fact.at)
        found(
          fact.at,
          `${forkId}: logs-final at ${sizeOf(forkId)} while a reader has ${reach(forkId)} bytes and no named gap`,
        )
    }
  }
}
