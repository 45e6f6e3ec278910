import { expect, test } from 'vitest'
import { openStateLog } from '../../../src/transport/bus-state-log.ts'
import type { Bus, StreamConfig } from '../../../src/transport/bus.ts'
import { ensureStreams } from '../../../src/transport/streams.ts'

/** What the streams of a fleet are asked to be, STATE by its log too. */
async function asked(replicas: number | null): Promise<(number | undefined)[]> {
  const configs: StreamConfig[] = []
  const bus = {
    onLink: () => () => {},
    async ensureStream(config: StreamConfig) {
      configs.push(config)
      return { created: true, firstSeq: 1, lastSeq: 0 }
    },
  } as unknown as Bus
  await ensureStreams(bus, 'main', replicas)
  await openStateLog(bus, 'main', { replicas }).open()
  expect(configs).toHaveLength(6)
  return [...new Set(configs.map((config) => config.replicas))]
}

test('replicas are asked of every stream, and of STATE by its log too', async () => {
  expect(await asked(3)).toEqual([3])
})

test('nothing is asked: streams that are there keep what they have', async () => {
  expect(await asked(null)).toEqual([undefined])
})
