/**
 * How long torchrun waits, after it was told to stop, until it sends SIGKILL to its ranks. torch 2.12 and
 * later read it from a variable; in seconds, since torch counts those.
 */
export const SHUTDOWN_TIMEOUT = 'TORCH_ELASTIC_SHUTDOWN_TIMEOUT'
/** Where nobody says more, in an older torch, and after the failure of one of its ranks in any. */
export const TORCH_SHUTDOWN_S = 30
const SLACK_S = 10

/** So long torchrun has to wait that it does not cut this grace. */
export function shutdownSeconds(graceMs: number): number {
  return Math.ceil(graceMs / 1000) + SLACK_S
}
