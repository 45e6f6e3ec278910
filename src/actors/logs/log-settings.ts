/** Bounds of log shipping and serving; bytes and milliseconds. */
export interface LogSettings {
  /** a chunk on the bus has at most so many bytes */
  chunkBytesMax: number
  /** with less than that at hand a source waits `batchMs` before its next chunk */
  chunkBytesMin: number
  batchMs: number
  /** chunks of one source that are not acknowledged yet */
  sourceChunksMax: number
  /** Bytes of all sources that are read and not acknowledged: the memory of log shipping. */
  windowBytesMax: number
  /** above it a source's oldest bytes are freed when shipped, and given up and recorded when not */
  spoolBytesMax: number
  /** of one worker's sources together; null: none */
  workerBytesPerSecond: number | null
  /** how often marks are written and caps are looked at */
  markMs: number
}

export const LOG_DEFAULTS: LogSettings = {
  chunkBytesMax: 256 * 1024,
  chunkBytesMin: 64 * 1024,
  batchMs: 50,
  sourceChunksMax: 4,
  windowBytesMax: 8 * 1024 * 1024,
  spoolBytesMax: 4 * 1024 ** 3,
  workerBytesPerSecond: null,
  markMs: 1000,
}
