/** What `down` can prove of a worker that it ended: the shape of `kill --json`'s receipts. */
import type { Receipt } from '../protocol/shapes.ts'

export type WorkerReceipt = Receipt & { worker: string; forkId: string }
