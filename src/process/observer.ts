/** What the watcher of one fork is given, knows and can do: the shapes of observe.ts. */
import type { RankReport, Receipt } from '../protocol/shapes.ts'
import type { HostEvent, HostExit } from '../protocol/host.ts'
import type { ProcIdentity } from '../system/proc.ts'
import type { ForkRecord } from './records.ts'
import type { Tree } from './tree.ts'

export interface ForkFacts {
  record: ForkRecord
  /** what is there now is no record of this fork */
  unreadable: boolean
  exit: (HostExit & { exitedAt: number; fenced?: boolean }) | null
  stderrTail: string[]
  errorFile: string | null
  ranks: RankReport[]
  receipt: Omit<Receipt, 'ms'> | null
  /** wall time of the receipt */
  goneAt: number | null
}

export interface Observer {
  readonly facts: Readonly<ForkFacts>
  readonly tree: Tree
  /** look at the records; `thoroughly` also at whether the shim lives */
  check(thoroughly: boolean): void
  signal(signal: string): void
  /** the program of one rank, while it runs */
  rankProcess(rank: number): ProcIdentity | null
  rankProcesses(): ProcIdentity[]
  kill(): Promise<void>
  close(): void
}

export interface ObserveOptions {
  forkId: string
  forkDir: string
  logDir: string
  hasRanks: boolean
  hasSetUp: boolean
  isService: boolean
  /** PATH of the shell that launched, where it came along */
  callerPath?: string | undefined
  /** see tree.ts */
  marker: string
  cgroup: string | null
  oomKills: number | null
  wall: () => number
  killBudgetMs?: number
  /** the shim that this agent started, while it knows it: a worker may write over the record */
  ownShim?: () => ProcIdentity | null
  emit(event: HostEvent): void
  /** the fork's directory was removed, by its worker: write it anew, for the agent that comes after */
  restore(record: ForkRecord): void
  /** called after each look at the record */
  onLook?(record: ForkRecord): void
  /** nothing of the tree is left: leases may end. Comes later than the receipt when that named survivors */
  onEnd(): void
}
