/** Receipts of workers as a table. */
import type { Receipt } from '../../protocol/shapes.ts'
import { table } from './table.ts'
import { receiptText } from './text.ts'

export function receiptsTable(receipts: readonly (Receipt & { worker: string })[]): string {
  return table(
    ['WORKER', 'RECEIPT', 'MS'],
    receipts.map((receipt) => [receipt.worker, receiptText(receipt), Math.round(receipt.ms)]),
  )
}
