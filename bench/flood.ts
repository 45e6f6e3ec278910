/** Workers that write their logs as fast as they can, so many bytes each, and what these bytes are. */
import { createHash } from 'node:crypto'
import type { Arrived } from './facts.ts'
import { ofLaunch } from './facts.ts'
import { task, type BenchFleet } from './fleet.ts'

export const MIB = 1024 * 1024
const LINE = 'the quick brown fox jumps over the lazy dog, sixty-four bytes..'

function command(bytes: number): string[] {
  return ['sh', '-c', `yes '${LINE}' | head -c ${bytes}`]
}

/** SHA-256 of what one worker writes; `bytes` is a multiple of 1 MiB */
export function floodHash(bytes: number): string {
  const block = Buffer.from(`${LINE}\n`.repeat(MIB / (LINE.length + 1)))
  const hash = createHash('sha256')
  for (let done = 0; done < bytes; done += MIB) hash.update(block)
  return hash.digest('hex')
}

export interface Flood {
  run: string
  /** the last worker's logs are complete on the bus */
  final: Promise<Arrived>
  ended: Promise<Arrived>
  /** ms, when the first log bytes were seen by a subscriber */
  firstBytesAt: Promise<number>
}

const BOUND_MS = 300_000

/** Resolves when it was accepted. */
export async function flood(
  { bus, info, troupe, facts }: BenchFleet,
  name: string,
  workers: number,
  bytesEach: number,
): Promise<Flood> {
  const options = { boundMs: BOUND_MS }
  const final = facts.await('logs-final', ofLaunch(name), { ...options, count: workers })
  const ended = facts.await('ended', ofLaunch(name), options)
  // whoever awaits them is told; who ends early must not fall over them
  for (const promise of [final, ended]) promise.catch(() => undefined)
  // of the bytes one message is taken: a reader of them all would be measured too
  const firstBytesAt = new Promise<number>((resolve) => {
    const subscription = bus.subscribe(`troupe.v1.${info.fleet}.log.>`, (message) => {
      if (message.body.length === 0) return
      resolve(performance.now())
      subscription.unsubscribe()
    })
  })
  const { run } = await troupe.launch(task(name, command(bytesEach), { replicas: workers }))
  return { run, final, ended, firstBytesAt }
}
