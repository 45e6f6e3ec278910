/**
 * What every Bus must do: the clauses of src/transport/bus.ts as tests. Run against nats/bus.ts (a real
 * nats-server) and tests/support/memory-bus. A new implementation is done when this suite passes; what it
 * cannot do it names in `skip`, with the reason.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PAYLOAD_BYTES_MAX } from '../../src/protocol/codec.ts'
import type { Bus, Message, QueuedMessage, StreamConfig } from '../../src/transport/bus.ts'

export interface BusFleet {
  connect(name: string): Promise<Bus>
  /** the link of all connections falls / comes back */
  cut(): Promise<void>
  restore(): Promise<void>
  close(): Promise<void>
}

function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
function text(body: Uint8Array): string {
  return new TextDecoder().decode(body)
}

function thrownBy(run: () => void): unknown {
  try {
    run()
  } catch (error) {
    return error
  }
  return null
}

/** Collects, and resolves when so many are there. */
function collector<T>() {
  const items: T[] = []
  let waiting: { count: number; resolve: () => void } | null = null
  return {
    items,
    push(item: T) {
      items.push(item)
      if (waiting !== null && items.length >= waiting.count) waiting.resolve()
    },
    count(count: number, boundMs = 5000): Promise<T[]> {
      return new Promise((resolve, reject) => {
        const timer = setTimeout(
          () => reject(new Error(`${items.length} of ${count} came within ${boundMs} ms`)),
          boundMs,
        )
        const done = () => {
          clearTimeout(timer)
          resolve(items.slice(0, count))
        }
        if (items.length >= count) done()
        else waiting = { count, resolve: done }
      })
    },
  }
}

function configOf(stream: string, root: string, options: Partial<StreamConfig> = {}): StreamConfig {
  return {
    name: stream,
    subjects: [`${root}.>`],
    kind: 'limits',
    storage: 'file',
    maxBytes: 1 << 20,
    maxAgeMs: 0,
    duplicateWindowMs: 60_000,
    allowDirect: true,
    asyncPersist: false,
    ...options,
  }
}

export function busContract(
  name: string,
  make: () => Promise<BusFleet>,
  skip: { reason: string; tests: string[] }[] = [],
): void {
  describe(`bus contract: ${name}`, () => {
    let fleet: BusFleet
    let a: Bus
    let b: Bus
    let streams = 0
    beforeAll(async () => {
      fleet = await make()
      a = await fleet.connect('a')
      b = await fleet.connect('b')
    })
    afterAll(() => fleet?.close())

    const check = (title: string, fn: () => Promise<void>): void => {
      const reason = skip.find(({ tests }) => tests.includes(title))?.reason
      if (reason === undefined) test(title, fn)
      else test.skip(`${title} (${reason})`, fn)
    }
    const subscribed = async (bus: Bus, subject: string, onMessage: (message: Message) => void) => {
      const subscription = bus.subscribe(subject, onMessage)
      await bus.flush()
      return subscription
    }
    const newStream = async (
      options: Partial<StreamConfig> = {},
    ): Promise<{ stream: string; root: string }> => {
      const stream = `contract_${++streams}`
      const root = `contract.s${streams}`
      await a.ensureStream(configOf(stream, root, options))
      return { stream, root }
    }

    check(
      'what is published arrives in order, with body and headers, at every subscriber that fits',
      async () => {
        const one = collector<string>()
        const two = collector<string>()
        await subscribed(b, 'contract.order.*', (m) =>
          one.push(`${m.subject.split('.')[2]} ${text(m.body)} ${m.headers['Troupe-Id']}`),
        )
        await subscribed(b, 'contract.order.>', (m) => two.push(text(m.body)))
        for (let i = 0; i < 100; i++)
          a.publish(`contract.order.x${i % 3}`, bytes(`${i}`), { 'Troupe-Id': `id ${i}` })
        expect(await one.count(100)).toEqual(Array.from({ length: 100 }, (_, i) => `x${i % 3} ${i} id ${i}`))
        expect(await two.count(100)).toEqual(Array.from({ length: 100 }, (_, i) => `${i}`))
      },
    )

    check('a connection hears its own publications', async () => {
      const heard = collector<string>()
      await subscribed(a, 'contract.echo', (m) => heard.push(text(m.body)))
      a.publish('contract.echo', bytes('me'))
      expect(await heard.count(1)).toEqual(['me'])
    })

    check('after unsubscribe nothing more is heard', async () => {
      const first = collector<string>()
      const control = collector<string>()
      const subscription = await subscribed(b, 'contract.unsubscribe', (m) => first.push(text(m.body)))
      await subscribed(b, 'contract.unsubscribe', (m) => control.push(text(m.body)))
      a.publish('contract.unsubscribe', bytes('1'))
      await control.count(1)
      subscription.unsubscribe()
      await b.flush()
      a.publish('contract.unsubscribe', bytes('2'))
      await control.count(2)
      expect(first.items).toEqual(['1'])
    })

    check('a request is answered with body and headers', async () => {
      await subscribed(b, 'contract.ask', (m) => m.respond(bytes(`to ${text(m.body)}`), { answered: 'yes' }))
      const answer = await a.request('contract.ask', bytes('me'), {
        timeoutMs: 2000,
        headers: { asked: '1' },
      })
      expect([text(answer.body), answer.headers['answered']]).toEqual(['to me', 'yes'])
    })

    check('many requests in flight get each its own answer', async () => {
      await subscribed(
        b,
        'contract.many',
        (m) => void setTimeout(() => m.respond(m.body), Number(text(m.body)) % 7),
      )
      const answers = await Promise.all(
        Array.from({ length: 200 }, async (_, i) =>
          text((await a.request('contract.many', bytes(`${i}`), { timeoutMs: 5000 })).body),
        ),
      )
      expect(answers).toEqual(Array.from({ length: 200 }, (_, i) => `${i}`))
    })

    check('a request that nobody serves is refused at once with CONN', async () => {
      const asked = performance.now()
      await expect(a.request('contract.nobody', bytes(''), { timeoutMs: 10_000 })).rejects.toMatchObject({
        code: 'CONN',
      })
      expect(performance.now() - asked).toBeLessThan(2000)
    })

    check('a request that is not answered in time is a TIMEOUT', async () => {
      await subscribed(b, 'contract.silent', () => undefined)
      await expect(a.request('contract.silent', bytes(''), { timeoutMs: 60 })).rejects.toMatchObject({
        code: 'TIMEOUT',
      })
    })

    check('gather ends when so many have answered, and with nobody it ends at once', async () => {
      await subscribed(a, 'contract.gather', (m) => m.respond(bytes('a')))
      await subscribed(b, 'contract.gather', (m) => m.respond(bytes('b')))
      const answers = await a.gather('contract.gather', bytes(''), { timeoutMs: 5000, count: 2 })
      expect(answers.map((m) => text(m.body)).toSorted()).toEqual(['a', 'b'])
      expect(await a.gather('contract.nobody', bytes(''), { timeoutMs: 10_000 })).toEqual([])
    })

    check('gather without a count gives what came until the time was over', async () => {
      await subscribed(b, 'contract.gather-time', (m) => m.respond(bytes('b')))
      const answers = await a.gather('contract.gather-time', bytes(''), { timeoutMs: 80 })
      expect(answers.map((m) => text(m.body))).toEqual(['b'])
    })

    check(
      'a message that is larger than the server takes is refused before it leaves, with both numbers: published, asked, gathered, appended and answered',
      async () => {
        const { stream, root } = await newStream()
        const size = PAYLOAD_BYTES_MAX + 1
        const large = new Uint8Array(size)
        const refusal = {
          code: 'REQUEST_INVALID',
          data: { reason: 'too-large', bytes: size, bytesMax: PAYLOAD_BYTES_MAX },
        }
        const heard = collector<number>()
        await subscribed(b, 'contract.large', (m) => heard.push(m.body.length))
        expect(thrownBy(() => a.publish('contract.large', large))).toMatchObject(refusal)
        const options = { timeoutMs: 2000 }
        await expect(a.request('contract.large', large, options)).rejects.toMatchObject(refusal)
        await expect(a.gather('contract.large', large, options)).rejects.toMatchObject(refusal)
        await expect(a.append(`${root}.x`, large, options)).rejects.toMatchObject(refusal)
        let answered: unknown
        await subscribed(b, 'contract.large-answer', (m) => {
          answered = thrownBy(() => m.respond(large))
          m.respond(bytes('small'))
        })
        expect(text((await a.request('contract.large-answer', bytes(''), options)).body)).toBe('small')
        expect(answered).toMatchObject(refusal)
        a.publish('contract.large', new Uint8Array(PAYLOAD_BYTES_MAX))
        expect(await heard.count(1)).toEqual([PAYLOAD_BYTES_MAX])
        expect(await a.getLast(stream, `${root}.x`)).toBeNull()
        expect(a.connected).toBe(true)
      },
    )

    check('headers count: a body that fits alone is refused with them', async () => {
      const { root } = await newStream({ maxBytes: 64 << 20 })
      const body = new Uint8Array(PAYLOAD_BYTES_MAX - 16)
      expect((await a.append(`${root}.x`, body)).seq).toBe(1)
      await expect(a.append(`${root}.x`, body, { headers: { a: 'b' } })).rejects.toMatchObject({
        data: { reason: 'too-large' },
      })
    })

    check('an append is acknowledged with its sequence, and is heard live too', async () => {
      const { root } = await newStream()
      const live = collector<string>()
      await subscribed(b, `${root}.>`, (m) => live.push(text(m.body)))
      const acks = [await a.append(`${root}.x`, bytes('1')), await a.append(`${root}.x`, bytes('2'))]
      expect(acks).toEqual([
        { seq: 1, duplicate: false },
        { seq: 2, duplicate: false },
      ])
      expect(await live.count(2)).toEqual(['1', '2'])
    })

    check('an append that no stream takes is refused with CONN', async () => {
      await expect(a.append('contract.no-stream.x', bytes('1'), { timeoutMs: 2000 })).rejects.toMatchObject({
        code: 'CONN',
      })
    })

    check('an append that expects another last sequence is refused and not stored', async () => {
      const { stream, root } = await newStream()
      await a.append(`${root}.x`, bytes('1'), { expectedLastSeq: 0 })
      await expect(b.append(`${root}.x`, bytes('2'), { expectedLastSeq: 0 })).rejects.toMatchObject({
        code: 'EXISTS',
        data: { reason: 'wrong-last-sequence' },
      })
      expect(await a.append(`${root}.y`, bytes('3'), { expectedLastSeq: 1 })).toEqual({
        seq: 2,
        duplicate: false,
      })
      expect((await a.getMessages(stream, { seq: 1, count: 10 })).map((m) => text(m.body))).toEqual([
        '1',
        '3',
      ])
    })

    check('an append with an id that was taken is acknowledged and dropped', async () => {
      const { stream, root } = await newStream()
      await a.append(`${root}.x`, bytes('1'), { id: 'same' })
      expect(await a.append(`${root}.x`, bytes('1'), { id: 'same' })).toMatchObject({ duplicate: true })
      expect(await a.getMessages(stream, { seq: 1, count: 10 })).toHaveLength(1)
    })

    check('a stream is made once', async () => {
      const config: StreamConfig = {
        name: 'contract_once',
        subjects: ['contract.once.>'],
        kind: 'limits',
        storage: 'file',
        maxBytes: -1,
        maxAgeMs: 0,
        duplicateWindowMs: 1000,
        allowDirect: true,
        asyncPersist: false,
      }
      const first = await a.ensureStream(config)
      await a.append('contract.once.x', bytes('1'))
      const second = await b.ensureStream(config)
      expect([first, second]).toEqual([
        expect.objectContaining({ created: true, lastSeq: 0 }),
        { created: false, firstSeq: 1, lastSeq: 1 },
      ])
    })

    check('a stream that is there with other limits gets the new ones', async () => {
      const { stream, root } = await newStream({ maxBytes: -1 })
      for (let i = 1; i <= 5; i++) await a.append(`${root}.x`, new Uint8Array(10_000))
      await b.ensureStream(configOf(stream, root, { maxBytes: 25_000 }))
      expect((await a.getMessage(stream, { seq: 1 }))?.seq).toBe(4)
      expect(await b.append(`${root}.x`, bytes('on'))).toMatchObject({ seq: 6 })
    })

    const FIXED: [string, Partial<StreamConfig>, RegExp][] = [
      ['another kind', { kind: 'work-queue' }, /limits.*work-?queue/],
      ['another storage', { storage: 'memory' }, /file.*memory/],
      ['more replicas than servers', { replicas: 3 }, /1\D*3/],
    ]
    for (const [what, other, both] of FIXED)
      check(`a stream cannot get ${what}: EXISTS with both values, and it is as before`, async () => {
        const { stream, root } = await newStream()
        await a.append(`${root}.x`, bytes('1'))
        const refused = await a.ensureStream(configOf(stream, root, other)).catch((error: unknown) => error)
        expect(refused).toMatchObject({
          code: 'EXISTS',
          message: expect.stringMatching(both),
          data: { stream },
        })
        expect(await a.ensureStream(configOf(stream, root))).toMatchObject({ created: false, lastSeq: 1 })
      })

    check('the past is read by sequence and subject, with headers, sequence and time', async () => {
      const { stream, root } = await newStream()
      for (let i = 1; i <= 6; i++)
        await a.append(`${root}.${i % 2 ? 'odd' : 'even'}`, bytes(`${i}`), { headers: { n: `${i}` } })
      const third = await b.getMessage(stream, { seq: 2, subject: `${root}.odd` })
      expect(third).toMatchObject({ seq: 3, subject: `${root}.odd`, headers: { n: '3' } })
      expect(Math.abs(third!.storedAt! - Date.now())).toBeLessThan(60_000)
      expect((await b.getMessage(stream, { seq: 2 }))?.seq).toBe(2)
      expect(await b.getMessage(stream, { seq: 7 })).toBeNull()
      expect(await b.getMessage(stream, { seq: 1, subject: `${root}.none` })).toBeNull()
      expect(
        (await b.getMessages(stream, { seq: 2, subject: `${root}.even`, count: 2 })).map((m) => m.seq),
      ).toEqual([2, 4])
      expect((await b.getMessages(stream, { seq: 1, count: 100 })).map((m) => text(m.body))).toEqual([
        '1',
        '2',
        '3',
        '4',
        '5',
        '6',
      ])
      expect(await b.getMessages(stream, { seq: 7, count: 100 })).toEqual([])
      expect((await b.getLast(stream, `${root}.odd`))?.seq).toBe(5)
      expect((await b.getLast(stream, `${root}.>`))?.seq).toBe(6)
      expect(await b.getLast(stream, `${root}.none`)).toBeNull()
    })

    check(
      'the past by the leader of a stream: in order, by subject, over what is missing, and what was stored last',
      async () => {
        const { stream, root } = await newStream({ maxBytes: -1 })
        for (let i = 1; i <= 30; i++)
          await a.append(`${root}.${i > 20 && i % 2 ? 'odd' : 'even'}`, bytes(`${i}`), {
            headers: { n: `${i}`, 'Troupe-Note': 'a: b' },
          })
        await a.append(`${root}.even`, new Uint8Array([0, 255, 10, 13]))
        await a.purge(stream, { beforeSeq: 12, subject: `${root}.even` })
        const read = async (subject: string, count: number): Promise<number[]> => {
          const seqs: number[] = []
          for (let seq = 1; ;) {
            const page = await b.getMessages(stream, { seq, subject, count, from: 'leader' })
            if (page.length === 0) return seqs
            expect(page.length).toBeLessThanOrEqual(count)
            seqs.push(...page.map((message) => message.seq))
            seq = seqs.at(-1)! + 1
          }
        }
        const even = [12, 13, 14, 15, 16, 17, 18, 19, 20, 22, 24, 26, 28, 30, 31]
        for (const count of [1, 5, 100]) expect(await read(`${root}.even`, count)).toEqual(even)
        expect((await read(`${root}.>`, 100)).at(0)).toBe(12)
        const [first] = await b.getMessages(stream, { seq: 1, count: 1, from: 'leader' })
        expect(first).toMatchObject({
          subject: `${root}.even`,
          headers: { n: '12', 'Troupe-Note': 'a: b' },
          body: bytes('12'),
        })
        expect(Math.abs(first!.storedAt! - Date.now())).toBeLessThan(60_000)
        const last = await b.getLast(stream, `${root}.*`, 'leader')
        expect([last?.seq, ...last!.body]).toEqual([31, 0, 255, 10, 13])
        expect((await b.getLast(stream, `${root}.odd`, 'leader'))?.seq).toBe(29)
        expect(await b.getLast(stream, `${root}.none`, 'leader')).toBeNull()
        await expect(b.getLast('contract_none', 'contract.none.x', 'leader')).rejects.toMatchObject({
          code: 'CONN',
        })
      },
    )

    check('purge deletes what is older, and sequences go on', async () => {
      const { stream, root } = await newStream()
      for (let i = 1; i <= 4; i++) await a.append(`${root}.x`, bytes(`${i}`))
      await a.purge(stream, { beforeSeq: 3 })
      expect((await a.getMessages(stream, { seq: 1, count: 10 })).map((m) => m.seq)).toEqual([3, 4])
      expect((await a.append(`${root}.x`, bytes('5'))).seq).toBe(5)
    })

    check('a stream that is not there cannot be read: CONN', async () => {
      await expect(a.getLast('contract_none', 'contract.none.x')).rejects.toMatchObject({ code: 'CONN' })
    })

    check(
      'a work queue gives one message at a time, also what came before, and forgets what was acknowledged',
      async () => {
        const { stream, root } = await newStream({ kind: 'work-queue' })
        await a.append(`${root}.x`, bytes('1'), { headers: { k: 'v' } })
        await a.append(`${root}.x`, bytes('2'))
        const got = collector<QueuedMessage>()
        const stop = await b.consumeQueue(stream, 'contract', 2000, async (m) => got.push(m))
        const [first] = await got.count(1)
        expect(first).toMatchObject({ seq: 1, headers: { k: 'v' }, subject: `${root}.x` })
        expect(Math.abs(first!.storedAt - Date.now())).toBeLessThan(60_000)
        expect(got.items).toHaveLength(1)
        await first!.ack()
        await (await got.count(2))[1]!.ack()
        await stop()
        expect(
          (
            await a.ensureStream({
              name: stream,
              subjects: [`${root}.>`],
              kind: 'work-queue',
              storage: 'file',
              maxBytes: 1 << 20,
              maxAgeMs: 0,
              duplicateWindowMs: 60_000,
              allowDirect: true,
              asyncPersist: false,
            })
          ).firstSeq,
        ).toBe(3)
      },
    )

    check('a queued message that is given back, or not acknowledged in time, comes again', async () => {
      const { stream, root } = await newStream({ kind: 'work-queue' })
      const got = collector<QueuedMessage>()
      const stop = await b.consumeQueue(stream, 'contract', 300, async (m) => got.push(m))
      await a.append(`${root}.x`, bytes('1'))
      ;(await got.count(1))[0]!.nak()
      await got.count(2)
      await (await got.count(3))[2]!.ack()
      await stop()
      expect(got.items.map((m) => m.seq)).toEqual([1, 1, 1])
    })

    check('flush and round trip', async () => {
      await a.flush()
      expect(await a.roundTripMs()).toBeGreaterThanOrEqual(0)
    })

    check(
      'while the link is down requests and appends are refused at once with CONN, publications vanish, and later all is as before',
      async () => {
        const { root } = await newStream()
        const heard = collector<string>()
        await subscribed(b, 'contract.link', (m) => heard.push(text(m.body)))
        await subscribed(b, 'contract.link-ask', (m) => m.respond(m.body))
        const changes = [collector<boolean>(), collector<boolean>()]
        const offs = [a, b].map((bus, i) => bus.onLink((up) => changes[i]!.push(up)))
        await fleet.cut()
        expect(await Promise.all(changes.map((c) => c.count(1, 20_000)))).toEqual([[false], [false]])
        expect(a.connected).toBe(false)
        const asked = performance.now()
        await expect(a.request('contract.link-ask', bytes(''), { timeoutMs: 10_000 })).rejects.toMatchObject({
          code: 'CONN',
        })
        await expect(a.append(`${root}.x`, bytes(''), { timeoutMs: 10_000 })).rejects.toMatchObject({
          code: 'CONN',
        })
        expect(performance.now() - asked).toBeLessThan(1000)
        a.publish('contract.link', bytes('lost'))
        await fleet.restore()
        expect(await Promise.all(changes.map((c) => c.count(2, 20_000)))).toEqual([
          [false, true],
          [false, true],
        ])
        for (const off of offs) off()
        expect(a.connected).toBe(true)
        // the other connection's subscriptions are with the server
        await b.flush()
        a.publish('contract.link', bytes('kept'))
        expect(await heard.count(1)).toEqual(['kept'])
        expect(text((await a.request('contract.link-ask', bytes('again'), { timeoutMs: 2000 })).body)).toBe(
          'again',
        )
        expect((await a.append(`${root}.x`, bytes('1'))).seq).toBe(1)
      },
    )

    check('a work queue goes on after the link was down', async () => {
      const { stream, root } = await newStream({ kind: 'work-queue' })
      const got = collector<string>()
      const stop = await b.consumeQueue(stream, 'contract', 1000, async (m) => {
        await m.ack()
        got.push(text(m.body))
      })
      await a.append(`${root}.x`, bytes('1'))
      await got.count(1)
      const up = [collector<boolean>(), collector<boolean>()]
      const offs = [a, b].map((bus, i) => bus.onLink((now) => up[i]!.push(now)))
      await fleet.cut()
      await Promise.all(up.map((c) => c.count(1, 20_000)))
      await fleet.restore()
      await Promise.all(up.map((c) => c.count(2, 20_000)))
      for (const off of offs) off()
      await a.append(`${root}.x`, bytes('2'))
      expect(await got.count(2, 10_000)).toEqual(['1', '2'])
      await stop()
    })

    check('a closed connection answers nothing and asks nothing', async () => {
      const c = await fleet.connect('c')
      await c.close()
      await c.close()
      expect(c.connected).toBe(false)
      c.publish('contract.closed', bytes(''))
      await expect(c.request('contract.ask', bytes(''), { timeoutMs: 1000 })).rejects.toMatchObject({
        code: 'CONN',
      })
    })
  })
}
