/**
 * How large a launch and a fleet may be. Each bound is known before anything is sent or written, and its
 * refusal has both numbers. Bounds of single messages stand in codec.ts and records.ts.
 */

/** Workers of one run, over all of its roles. */
export const WORKERS_MAX = 20_000
/** Workers of all runs that have not ended. */
export const FLEET_WORKERS_MAX = 50_000
/** JSON bytes of a resolved launch: its plan fits an answer, one worker's part of it an order. */
export const LAUNCH_BYTES_MAX = 2 * 1024 * 1024
/** Conditions in `dependsOn`, over all roles: a run's head in STATE has a time for each. */
export const DEPENDENCIES_MAX = 5000
/** An idempotency key is part of records and events. */
export const KEY_CHARS_MAX = 256
