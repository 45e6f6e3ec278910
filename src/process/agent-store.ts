/**
 * What an agent remembers of itself between its starts: the highest epoch that it has obeyed. The spool
 * remembers the forks.
 */
import { readFile } from 'node:fs/promises'
import { Epoch } from '../protocol/shapes.ts'
import { atomicWrite } from '../system/atomic-write.ts'

export interface AgentMemory {
  epoch: Epoch | null
}

export interface AgentStore {
  /** @returns an empty memory when there is none yet */
  read(): Promise<AgentMemory>
  /** atomic: after a crash the old or the new one is there */
  write(memory: AgentMemory): Promise<void>
}

/** In a file; one that cannot be read as such counts as none: STATE's last entry says the epoch again. */
export function fileAgentStore(file: string): AgentStore {
  return {
    async read() {
      const text = await readFile(file, 'utf8').catch(() => null)
      if (text === null) return { epoch: null }
      try {
        return { epoch: Epoch.nullable().parse((JSON.parse(text) as { epoch: unknown }).epoch) }
      } catch {
        return { epoch: null }
      }
    },
    write: (memory) => atomicWrite(file, JSON.stringify(memory)),
  }
}
