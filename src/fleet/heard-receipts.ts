/** Receipts of forks as the host tells them. */
import type { HostEvent } from '../protocol/host.ts'
import type { Receipt } from '../protocol/shapes.ts'

type HostReceipt = Omit<Receipt, 'ms'>

/**
 * Listen to a host before its spool is recovered: a tree may end in between, and its receipt is told once.
 *
 * @returns the receipt of a fork, heard before or after the call
 */
export function heardReceipts(host: {
  onEvent(listener: (event: HostEvent) => void): void
}): (forkId: string) => Promise<HostReceipt> {
  const heard = new Map<string, HostReceipt>()
  const waiting = new Map<string, (receipt: HostReceipt) => void>()
  host.onEvent((event) => {
    if (event.what !== 'empty') return
    heard.set(event.forkId, event.receipt)
    waiting.get(event.forkId)?.(event.receipt)
  })
  return (forkId) =>
    new Promise((resolve) => {
      const receipt = heard.get(forkId)
      if (receipt === undefined) waiting.set(forkId, resolve)
      else resolve(receipt)
    })
}
