/**
 * The log store contract: what a node agent asks of the log files of its forks, also after their exit and
 * release. Implementations: file-log-store.ts (over the spool) and the simulator's. Shipping and serving know
 * nothing else of files.
 *
 * 1. A source is named as in the table (`stdout`, `r3-stderr`); its offsets are the file's. When the file
 * shrinks, offsets begin
 *    again at 0 in the next generation (0 is the first); what was not read of the old one is gone.
 * 2. `watch` calls back once for each source that is there and again whenever one may have more; needlessly
 * now and then, never
 *    from inside a call. It may be up to 200 ms late: nobody waits for it at an end, but reads to the size.
 * 3. `marks` are small and survive the agent: how far a source was shipped, its floor, its generation, what
 * was given up.
 * 4. `giveUp` notes the new floor before it frees the bytes below; reads below the floor are refused with
 * GONE.
 */
export interface SourceMarks {
  generation: number
  /** everything before it in this generation is acknowledged or given up */
  shipped: number
  /** first byte that is still kept */
  floor: number
  /**
   * ranges [from, to) of this generation that were given up before they were shipped; [n, n] is of unknown
   * length
   */
  lost: [number, number][]
  /** the tree is gone, and the source was shipped to its end */
  final: boolean
}

export const NO_MARKS: SourceMarks = { generation: 0, shipped: 0, floor: 0, lost: [], final: false }

export interface LogChunk {
  generation: number
  offset: number
  /** owned by the caller */
  bytes: Uint8Array
}

export interface LogTail {
  /**
   * the next bytes, at most `chunkBytesMax`; null when there are none now. A first chunk of a higher
   * generation says that the file shrank
   */
  read(): Promise<LogChunk | null>
  /**
   * as the last read found it: at its place; removed, but held open and read on; or not there, so that its
   * bytes from here on are not known
   */
  fileIs(): 'there' | 'held' | 'absent'
  /** go on from here, in the same generation */
  seek(offset: number): void
  close(): Promise<void>
}

export interface LogStore {
  /** fork ids whose logs are kept, released or not; how long is the host's to decide */
  retained(): Promise<string[]>
  /** sources of a fork with their sizes now; empty when the fork is not known here */
  sizes(forkId: string): Promise<Record<string, number>>
  /** sources that every fork has, and that have no file: it was removed */
  missing(forkId: string): Promise<string[]>
  marks(forkId: string): Promise<Record<string, SourceMarks>>
  /** @throws {Fault} SPOOL when they cannot be written */
  mark(forkId: string, marks: Record<string, SourceMarks>): Promise<void>
  watch(forkId: string, onMore: (source: string) => void): () => void
  tail(
    forkId: string,
    source: string,
    from: { generation: number; offset: number; chunkBytesMax: number },
  ): LogTail
  /**
   * at most `bytesMax` bytes; empty at the end. @throws {Fault} WORKER_NOT_FOUND without such a source, GONE
   * below the floor (`data.floor`), and of a file that was removed
   */
  read(forkId: string, source: string, offset: number, bytesMax: number): Promise<Uint8Array>
  /** where the last `lines` lines begin, not below the floor */
  offsetOfTail(forkId: string, source: string, lines: number): Promise<number>
  giveUp(forkId: string, source: string, floor: number): Promise<void>
  close(): Promise<void>
}
