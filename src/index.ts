/**
 * The library: `import { connect } from 'troupe'`. Everything public is exported here, and nothing else is.
 *
 * ```js
 * const troupe = await connect() const { run } = await troupe.launch({ apiVersion: 'troupe/v1', name:
 * 'hello', roles: { main: { kind: 'task', command: ['hostname'] } } }) for await (const item of
 * troupe.logs(run, { follow: true })) if (item.kind === 'line') console.log(item.prefix, item.text)
 * console.log((await troupe.wait(run)).code) await troupe.close()
 * ```
 */
export { connect } from './connect.ts'
export type { ConnectOptions } from './client/context.ts'
export type { EndOptions, EndResult } from './client/end.ts'
export type {
  LostEvent,
  NodeEvent,
  RunEvent,
  TroupeEvent,
  WatchOptions,
  WorkerEvent,
} from './client/events.ts'
export type { Launched, LaunchOptions } from './client/launch.ts'
export type { LogChunk, LogGap, LogItem, LogLine, LogOptions } from './client/logs/items.ts'
export type { Planned } from './client/pages.ts'
export type { Point } from './client/points.ts'
export type { Ref } from './client/refs.ts'
export type { Explained, LaunchInput, Troupe, WaitOptions } from './client/troupe.ts'
export type { Waiting, WaitResult } from './client/wait.ts'
export { Fault, isFault, type FaultCode } from './protocol/faults.ts'
export {
  applySets,
  issueText,
  parseLaunchText,
  resolveLaunch,
  type LaunchIssue,
  type LaunchSource,
} from './protocol/launch/document.ts'
export type { Launch, Role } from './protocol/launch/resolved.ts'
export type {
  Exit,
  FirstFailure,
  RankReport,
  Receipt,
  RunState,
  RunStatus,
  Straggler,
  WorkerReceipt,
  WorkerState,
  WorkerStatus,
} from './protocol/shapes.ts'
export type { RunSummary } from './protocol/run-summary.ts'
export type { NodeInfo } from './protocol/node-info.ts'
export type { Context, Credentials } from './system/contexts.ts'
