import { expect, test } from 'vitest'
import { heardReceipts } from '../../../src/fleet/heard-receipts.ts'
import type { HostEvent } from '../../../src/protocol/host.ts'

test('a tree ends before or after somebody waits for it: its receipt is heard', async () => {
  let tell: (event: HostEvent) => void = () => {}
  const receiptOf = heardReceipts({ onEvent: (listener) => void (tell = listener) })
  const gone: Extract<HostEvent, { what: 'empty' }>['receipt'] = {
    outcome: 'gone',
    survivors: [],
    reason: null,
  }
  tell({ what: 'ranks', forkId: 'a', ranks: [] })
  tell({ what: 'empty', forkId: 'a', receipt: gone })
  const later = receiptOf('b')
  tell({ what: 'empty', forkId: 'b', receipt: { ...gone, outcome: 'unverified' } })
  expect(await receiptOf('a')).toEqual(gone)
  expect((await later).outcome).toBe('unverified')
})
