/**
 * Every time and bound of the coordinator, with what stands when nobody says otherwise. Milliseconds unless
 * the name says so.
 */
import { FLEET_WORKERS_MAX } from '../../protocol/bounds.ts'

export interface CoordinatorSettings {
  /** how long a leader may act after it sent its last acknowledged entry */
  leaseMs: number
  renewMs: number
  /** what a standby waits beyond the lease */
  takeoverMarginMs: number
  /** STATE entries between two snapshots */
  snapshotEntries: number
  suspectAfterMs: number
  lostAfterMs: number
  /** a lost node that nothing is known to run on is shown for so long, and so many of them at most */
  lostKeptMs: number
  lostKept: number
  /** how often silence is looked for */
  nodesTickMs: number
  /** an order read later than this is refused by the agent */
  orderAllowanceMs: number
  /** first and longest pause before an order is sent again */
  orderRetryMs: readonly [number, number]
  prepareLapseMs: number
  /** attempts of a gang that cannot be started for want of ports or a spool */
  launchTries: number
  launchRetryMs: readonly [number, number]
  /**
   * a node has leased what a gang needs to others that we do not count: it is asked for again, as long as its
   * run may wait
   */
  busyRetryMs: readonly [number, number]
  /**
   * a child that says "address in use" so soon after its start, before it is ready, lost the last moment to a
   * stranger
   */
  portConflictMs: number
  portConflictTries: number
  /** one torchrun agent exits 0: its peers have so long */
  peerExitMs: number
  /**
   * a rank has failed: the reports of others that failed at the same moment are heard before its peers are
   * told to end
   */
  rankFailureMs: number
  /** a torchrun whose ranks have all ended ends by itself within that time, unless it waits for a peer */
  launcherEndMs: number
  /** facts that decide nothing (one of many workers ended) wait so long for an entry to share */
  lazyPersistMs: number
  /** a step handles so many workers, or runs, at least 2, and leaves the rest to the next */
  stepWorkersMax: number
  keyKeptMs: number
  /** workers of all runs that have not ended */
  fleetWorkersMax: number
  /** ended runs in memory; older ones are in the archive */
  endedKept: number
  fenceMarginMs: number
  /** slower than the first of its gang by so much: shown as a straggler */
  stragglerMs: number
  /** servers that keep a copy of each stream; null: one that is there keeps its own, a new one has 1 */
  replicas: number | null
  /** ends itself after so long without a live run; null: never */
  idleEndMs: number | null
  /** may end and signal runs of all users; null: nobody may */
  owner: string | null
  /** `troupe up` started this fleet on this machine: it can start more of it */
  atHome: boolean
}

export const COORDINATOR_DEFAULTS: CoordinatorSettings = {
  leaseMs: 2000,
  renewMs: 500,
  takeoverMarginMs: 500,
  snapshotEntries: 2000,
  suspectAfterMs: 3000,
  lostAfterMs: 30_000,
  lostKeptMs: 3_600_000,
  lostKept: 1000,
  nodesTickMs: 250,
  orderAllowanceMs: 2000,
  orderRetryMs: [100, 2000],
  prepareLapseMs: 30_000,
  launchTries: 3,
  launchRetryMs: [500, 5000],
  busyRetryMs: [1000, 30_000],
  portConflictMs: 60_000,
  portConflictTries: 3,
  peerExitMs: 300_000,
  rankFailureMs: 100,
  launcherEndMs: 3000,
  lazyPersistMs: 1000,
  stepWorkersMax: 1000,
  keyKeptMs: 48 * 3600 * 1000,
  fleetWorkersMax: FLEET_WORKERS_MAX,
  endedKept: 200,
  fenceMarginMs: 5000,
  stragglerMs: 2000,
  replicas: null,
  idleEndMs: null,
  owner: null,
  atHome: false,
}
