/** The bus and state log contracts on the bus in memory, and its faults, which no real one has on demand. */
import { describe, expect, test } from 'vitest'
import { memoryServer } from '../support/memory-bus/memory-bus.ts'
import type { MemoryFaults } from '../support/memory-bus/faults.ts'
import { openStateLog } from '../../src/transport/bus-state-log.ts'
import type { StateLog } from '../../src/transport/state-log.ts'
import { STATE_FORMAT, type StateEntry } from '../../src/protocol/records.ts'
import { manualClock } from '../support/manual-clock.ts'
import { memoryFleet } from '../support/memory-fleet.ts'
import { busContract } from './bus.contract.ts'
import { stateLogContract } from './state-log.contract.ts'

busContract('memory', () => memoryFleet())
stateLogContract('memory', () => memoryFleet())
stateLogContract('memory, with copies that are behind', () => {
  // by another number of messages each time
  let reads = 0
  return memoryFleet({ behind: () => 1 + (reads++ % 3) })
})

/** a change that is number `number` of this writer */
function entry(writer: string, number: number, n: number): StateEntry {
  return {
    format: STATE_FORMAT,
    epoch: { storeId: 'store', n },
    writer: writer.padEnd(26, '0'),
    number,
    at: 0,
    kind: 'change',
    part: null,
    ops: [],
  }
}
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
const NONE: Partial<MemoryFaults> = { hopMs: () => 1 }
const STREAM = {
  name: 's',
  subjects: ['s.>'],
  kind: 'limits',
  storage: 'file',
  maxBytes: -1,
  maxAgeMs: 0,
  duplicateWindowMs: 1000,
  allowDirect: true,
  asyncPersist: false,
} as const

function world(faults: Partial<MemoryFaults>) {
  const clock = manualClock()
  const server = memoryServer(clock, { ...NONE, ...faults })
  return { clock, server, a: server.connect({ name: 'a' }), b: server.connect({ name: 'b' }) }
}

describe('the state log under faults', () => {
  test('a deposed leader whose append is still unanswered, and who has read on meanwhile, writes nothing more', async () => {
    let fate: 'done' | 'lost' = 'done'
    const { clock, a, b, server } = world({
      call: (kind, from) => (kind === 'append' && from === 'a' ? fate : 'done'),
    })
    const [mine, theirs] = [openStateLog(a, 'f', { clock }), openStateLog(b, 'f', { clock })]
    const ready = Promise.all([mine, theirs].map((log) => log.open().then(() => log.read())))
    await clock.advance(100)
    await ready
    fate = 'lost'
    const old = mine.append(entry('A', 1, 1)).catch((error: unknown) => error)
    await clock.advance(10)
    const taken = theirs.append(entry('B', 1, 2))
    await clock.advance(10)
    await taken
    const read = mine.read()
    await clock.advance(20)
    await read
    fate = 'done'
    await clock.advance(5000)
    expect(await old).toMatchObject({ code: 'NOT_LEADER' })
    expect(server.streams.get('troupe_f_STATE')!.lastSeq).toBe(1)
  })

  test('the store is lost while a leader sleeps, and the new one has grown to where it stood: it writes nothing there', async () => {
    const { clock, a, b, server } = world({})
    const [mine, theirs] = [openStateLog(a, 'f', { clock }), openStateLog(b, 'f', { clock })]
    const run = async <T>(work: Promise<T>): Promise<T> => {
      work.catch(() => {})
      await clock.advance(3000)
      return work
    }
    await run(mine.open().then(() => mine.read()))
    await run(mine.append(entry('A', 1, 1)))
    server.resetStore()
    await run(theirs.open().then(() => theirs.read()))
    await run(theirs.append(entry('B', 1, 1)))
    await expect(run(mine.append(entry('A', 2, 1)))).rejects.toMatchObject({ code: 'NOT_LEADER' })
    expect(server.streams.get('troupe_f_STATE')!.lastSeq).toBe(1)
  })

  test('two find the log empty at once: one leads, the other is told so', async () => {
    const { clock, a, b, server } = world({})
    const logs = [openStateLog(a, 'f', { clock }), openStateLog(b, 'f', { clock })]
    const lead = async (log: StateLog, writer: string, afterMs: number): Promise<string> => {
      await new Promise<void>((resolve) => clock.after(afterMs, resolve))
      await log.open()
      if ((await log.read()).length > 0) return 'follows'
      return log.append(entry(writer, 1, 1)).then(
        () => 'leads',
        (error: { code: string }) => error.code,
      )
    }
    for (let apart = 0; apart < 12; apart++) {
      server.resetStore()
      const outcomes = Promise.all([lead(logs[0]!, 'A', 0), lead(logs[1]!, 'B', apart)])
      await clock.advance(5000)
      expect((await outcomes).filter((outcome) => outcome === 'leads')).toHaveLength(1)
    }
  })
})

describe('faults of the memory bus', () => {
  test('a lost copy never comes, a second copy comes late, and the clock alone moves them', async () => {
    const fates = [[], [0, 500], [0]]
    const { clock, a, b } = world({ copies: () => fates.shift() ?? [0] })
    const heard: string[] = []
    b.subscribe('x', (message) => void heard.push(`${new TextDecoder().decode(message.body)}@${clock.now()}`))
    for (const text of ['1', '2', '3']) a.publish('x', bytes(text))
    await clock.advance(100)
    expect(heard).toEqual(['2@2', '3@2'])
    await clock.advance(1000)
    expect(heard).toEqual(['2@2', '3@2', '2@502'])
  })

  test('an append whose answer is lost has landed, one that is lost has not', async () => {
    const fates = ['done', 'answer-lost', 'lost'] as const
    let calls = 0
    const { clock, server, a } = world({ call: () => fates[calls++]! })
    const made = a.ensureStream({ ...STREAM, subjects: [...STREAM.subjects] })
    await clock.advance(10)
    await made
    const results = Promise.allSettled(
      ['1', '2'].map((text) => a.append('s.x', bytes(text), { timeoutMs: 100 })),
    )
    await clock.advance(200)
    expect(
      (await results).map((result) =>
        result.status === 'rejected' ? (result.reason as { code: string }).code : 'ok',
      ),
    ).toEqual(['TIMEOUT', 'TIMEOUT'])
    expect(
      server.streams.get('s')!.messages.map((message) => new TextDecoder().decode(message.body)),
    ).toEqual(['1'])
  })

  test('a slow disk keeps an append, and what its connection sends behind it; others pass by', async () => {
    let disk: number | 'full' = 0
    const { clock, a, b } = world({ disk: () => disk })
    const made = a.ensureStream({ ...STREAM, subjects: [...STREAM.subjects] })
    await clock.advance(10)
    await made
    disk = 500
    const heard: string[] = []
    b.subscribe('x', (message) => void heard.push(`${new TextDecoder().decode(message.body)}@${clock.now()}`))
    const began = clock.now()
    const stored = a.append('s.x', bytes('1')).then(() => clock.now() - began)
    a.publish('x', bytes('behind'))
    b.publish('x', bytes('beside'))
    await clock.advance(1000)
    expect(await stored).toBe(502)
    expect(heard).toEqual([`beside@${began + 2}`, `behind@${began + 502}`])
  })

  test('a full disk refuses appends with the server’s words, and takes them when there is space again', async () => {
    let disk: number | 'full' = 0
    const { clock, a, b } = world({ disk: () => disk })
    const made = a.ensureStream({ ...STREAM, subjects: [...STREAM.subjects] })
    await clock.advance(10)
    await made
    disk = 'full'
    const refused = a.append('s.x', bytes('1')).catch((error: unknown) => error)
    const plain = b.request('s.x', bytes('2'), { timeoutMs: 100 })
    await clock.advance(10)
    expect(await refused).toMatchObject({ code: 'FAILED', message: expect.stringContaining('no space left') })
    expect(JSON.parse(new TextDecoder().decode((await plain).body))).toMatchObject({ error: { code: 503 } })
    disk = 0
    const taken = a.append('s.x', bytes('3'))
    await clock.advance(10)
    expect(await taken).toEqual({ seq: 1, duplicate: false })
  })

  test('a copy that is behind answers old, by number, by page and by subject; the leader does not', async () => {
    let behind = 0
    const { clock, a } = world({ behind: () => behind })
    const done = async <T>(work: Promise<T>): Promise<T> => {
      await clock.advance(10)
      return work
    }
    await done(a.ensureStream({ ...STREAM, subjects: [...STREAM.subjects] }))
    for (const body of ['1', '2', '3']) await done(a.append('s.x', bytes(body)))
    behind = 2
    const seqs = (found: { seq: number }[]): number[] => found.map(({ seq }) => seq)
    expect(seqs(await done(a.getMessages('s', { seq: 1, count: 10 })))).toEqual([1])
    expect(await done(a.getMessage('s', { seq: 2 }))).toBe(null)
    expect((await done(a.getLast('s', 's.x')))?.seq).toBe(1)
    expect(seqs(await done(a.getMessages('s', { seq: 1, count: 10, from: 'leader' })))).toEqual([1, 2, 3])
    expect((await done(a.getLast('s', 's.x', 'leader')))?.seq).toBe(3)
    behind = 3
    expect(await done(a.getLast('s', 's.x'))).toBe(null)
  })

  test('when the link falls, what is under way is lost on both sides', async () => {
    const { clock, a, b } = world({})
    const heard: string[] = []
    b.subscribe('x', () => void heard.push('one'))
    a.publish('x', bytes(''))
    a.setLink(false)
    a.setLink(true)
    a.publish('x', bytes(''))
    await clock.advance(10)
    expect(heard).toEqual(['one'])
  })

  test('a process that is dead sends nothing, and what it had sent arrives', async () => {
    const clock = manualClock()
    const server = memoryServer(clock, NONE)
    let alive = true
    const a = server.connect({ name: 'a', hooks: { enter: (run) => alive && run(), leave: () => alive } })
    const b = server.connect({ name: 'b' })
    const heard: string[] = []
    b.subscribe('x', (message) => void heard.push(new TextDecoder().decode(message.body)))
    a.publish('x', bytes('before'))
    alive = false
    a.sever()
    a.publish('x', bytes('after'))
    await clock.advance(10)
    expect(heard).toEqual(['before'])
  })
})
