/**
 * Every row of the table and every stream, from every role of two fleets, on one real server: a message
 * arrives where the table says, and nowhere else. What the table itself forgot is seen by
 * permissions-by-hand.test.ts, what reply subjects reach by reply-subjects.test.ts.
 */
import { connect } from 'node:net'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { wildcardOf } from '../../src/protocol/subjects.ts'
import { STREAMS, streamOf, type StreamName } from '../../src/protocol/table.ts'
import { ACCOUNTS } from '../../src/transport/nats/tenant-accounts.ts'
import { expectAsTheTableSays, OWN, paramsOf, rows, streams } from '../support/table-says.ts'
import { FLEETS, startTwoFleets, titleOf } from '../support/two-fleets.ts'
import type { FleetName, Holder, TwoFleets } from '../support/two-fleets.ts'
import { until } from '../support/test-server.ts'

const nothing = new Uint8Array(0)
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
function text(body: Uint8Array): string {
  return new TextDecoder().decode(body)
}

let fleets: TwoFleets
beforeAll(async () => void (fleets = await startTwoFleets()))
afterAll(() => fleets.close())

describe('a message', () => {
  test('of every row, from every role, in its own and others’ names, to its own and the other fleet [A-41 FC-21]', async () => {
    const messages = fleets.holders.flatMap((from) =>
      rows.flatMap(([row]) =>
        FLEETS.flatMap((fleet) =>
          [from, ...fleets.holders.filter((one) => one.fleet === 'main' && one.name !== from.name)].map(
            (named) => ({
              from,
              subject: wildcardOf(fleet, row, paramsOf(named) as never),
            }),
          ),
        ),
      ),
    )
    const distinct = new Map(messages.map((one) => [`${titleOf(one.from)} ${one.subject}`, one]))
    await expectAsTheTableSays(fleets, [...distinct.values()])
  })

  test('with any names and wildcards in it', async () => {
    const names = ['ada', 'n0', 'n1', 'r1', 't', '0', '_', '*', 'Ada', 'n0x', 'é', '{{name()}}', '-', '00']
    const token = fc.oneof(fc.constantFrom(...names), fc.stringMatching(/^[A-Za-z0-9_-]{1,12}$/))
    const message = fc.record({
      from: fc.constantFrom(...fleets.holders.keys()),
      fleet: fc.constantFrom(...FLEETS),
      row: fc.constantFrom(...rows.map(([name]) => name)),
      own: fc.boolean(),
      others: fc.dictionary(fc.constantFrom(...Object.keys(paramsOf(fleets.holders[0]!))), token),
    })
    const batch = fc.array(message, { minLength: 20, maxLength: 20, size: 'max' })
    await fc.assert(
      fc.asyncProperty(batch, (drawn) =>
        expectAsTheTableSays(
          fleets,
          drawn.map(({ from, fleet, row, own, others }) => {
            const holder = fleets.holders[from]!
            const base = paramsOf(holder)
            const fixed = own ? Object.fromEntries(OWN[holder.role].map((place) => [place, base[place]])) : {}
            return {
              from: holder,
              subject: wildcardOf(fleet, row, { ...base, ...others, ...fixed } as never),
            }
          }),
        ),
      ),
      { numRuns: 30 },
    )
  })

  test('from no one: a connection without a credential is told so and ended, and nothing of it arrives', async () => {
    const seen: string[] = []
    for (const fleet of FLEETS)
      for (const account of ACCOUNTS)
        fleets.watcher(fleet, account).subscribe('>', ({ subject }) => seen.push(subject))
    await fleets.settle()
    seen.length = 0
    const { port } = new URL(fleets.server.url)
    for (const hello of [
      '',
      'CONNECT {}\r\n',
      'CONNECT {"user":"ada","pass":"ada"}\r\n',
      'CONNECT {"jwt":"x"}\r\n',
    ]) {
      const socket = connect(Number(port), '127.0.0.1')
      let said = ''
      socket.on('data', (data) => (said += data.toString()))
      const ended = new Promise((resolve) => socket.once('close', resolve))
      socket.on('error', () => {})
      const all = rows.map(([row]) => wildcardOf('main', row, paramsOf(fleets.holders[0]!) as never))
      socket.write(
        `${hello}${all.map((subject) => `PUB ${subject} 2\r\n{}\r\n`).join('')}SUB > 1\r\nPING\r\n`,
      )
      await ended
      expect(said).toMatch(/^INFO .*\r\n(PING\r\n)?-ERR 'Authorization Violation'\r\n$/s)
    }
    await fleets.settle()
    expect(seen).toEqual([])
  })

  test('that is asked is answered into the inbox of who asks, whichever role', async () => {
    for (const [name, row] of rows.filter(([, { kind }]) => kind === 'request'))
      for (const role of row.from) {
        const asker = fleets.holder('main', role)
        const subject = wildcardOf('main', name, paramsOf(asker) as never)
        const serving = fleets.holder('main', row.to[0]!).bus
        const off = serving.subscribe(subject, (message) => message.respond(bytes('answer')))
        await serving.flush()
        const answer = await asker.bus.request(subject, nothing, { timeoutMs: 2000 })
        off.unsubscribe()
        expect(text(answer.body)).toBe('answer')
      }
  })
})

test('a subscription is had by those who hear it by the table, for their own node, in their own fleet', async () => {
  for (const holder of fleets.holders) {
    const { fleet, role, name, bus } = holder
    const heard = rows.flatMap(([row, { to, kind, subject }]) =>
      FLEETS.flatMap((of) =>
        ['*', 'n0', 'n1'].map((node) => ({
          subject: wildcardOf(of, row, (subject.includes('{node}') ? { node } : {}) as never),
          may:
            of === fleet &&
            to.includes(role) &&
            kind !== 'durable' &&
            (role !== 'agent' || !subject.includes('{node}') || node === name),
        })),
      ),
    )
    const never = [
      ...[
        '>',
        '*.>',
        'troupe.>',
        'troupe.v1.>',
        `troupe.v1.${fleet}.>`,
        '$SYS.>',
        '$SYS.ACCOUNT.*.DISCONNECT',
        '$JS.>',
      ],
      ...['_INBOX.>', '_INBOX.*.>', '_INBOX.*', '$JS.API.>', '$KV.>', '$SRV.>', '_R_.>'],
      ...fleets.holders
        .filter((other) => `${other.role}${other.name}` !== `${role}${name}`)
        .map((other) => `_INBOX.${other.role}-${other.name}.>`),
    ].map((subject) => ({ subject, may: false }))
    // two rows may have one shape: who may hear either hears it
    const may = new Map<string, boolean>()
    for (const one of [...heard, ...never]) may.set(one.subject, one.may || (may.get(one.subject) ?? false))
    const refused: string[] = []
    const off = bus.onPermissionViolation(({ subject }) => refused.push(subject))
    const subscriptions = [...may.keys()].map((subject) => bus.subscribe(subject, () => undefined))
    await fleets.settle()
    for (const subscription of subscriptions) subscription.unsubscribe()
    off()
    expect([titleOf(holder), ...refused.toSorted()]).toEqual([
      titleOf(holder),
      ...[...may].flatMap(([subject, granted]) => (granted ? [] : [subject])).toSorted(),
    ])
  }
})

/** Who may read a stream's past: those who may hear all of it live. */
function reads({ fleet, role }: Holder, of: FleetName, name: StreamName): boolean {
  if (fleet !== of || name === 'LAUNCH') return false
  const to = rows.filter(([, row]) => row.kind === STREAMS[name].kind).flatMap(([, row]) => row.to)
  return role === 'coordinator' || (role !== 'agent' && to.includes(role))
}

test('a stream is made and purged by the coordinator of its fleet, read by those who may hear it, and no more', async () => {
  for (const holder of fleets.holders) {
    const refused: string[] = []
    const off = holder.bus.onPermissionViolation(({ subject }) => refused.push(subject))
    const asked = new Map<string, boolean>([
      ['$JS.API.STREAM.LIST', false],
      ['$JS.API.STREAM.NAMES', false],
      ['$JS.API.INFO', false],
      ['$JS.API.ACCOUNT.PURGE.x', false],
      ['$JS.API.SERVER.REMOVE', false],
      ['$SYS.REQ.CLAIMS.UPDATE', false],
      ['$SYS.REQ.CLAIMS.LIST', false],
      ['$SYS.REQ.CLAIMS.DELETE', false],
      ['$SYS.REQ.SERVER.PING', false],
      ['$SYS.REQ.ACCOUNT.PING.CONNZ', false],
      ['$SYS.REQ.USER.INFO', false],
    ])
    for (const of of FLEETS)
      for (const name of streams) {
        const isOwn = holder.role === 'coordinator' && holder.fleet === of
        const api = (verb: string): string => `$JS.API.${verb}.${streamOf(of, name)}`
        for (const verb of ['INFO', 'CREATE', 'UPDATE', 'PURGE']) asked.set(api(`STREAM.${verb}`), isOwn)
        // the stream's leader opens all of it: where its last entry decides
        asked.set(api('STREAM.MSG.GET'), isOwn && ['STATE', 'EVENT', 'ARCHIVE'].includes(name))
        asked.set(api('DIRECT.GET'), reads(holder, of, name))
        for (const subject of [
          `${api('CONSUMER.CREATE')}.w`,
          `${api('CONSUMER.MSG.NEXT')}.w`,
          `$JS.ACK.${streamOf(of, name)}.w.1.1.1.1.1`,
        ])
          asked.set(subject, isOwn && name === 'LAUNCH')
        for (const verb of ['STREAM.DELETE', 'STREAM.MSG.DELETE', 'STREAM.RESTORE', 'STREAM.SNAPSHOT'])
          asked.set(api(verb), false)
        for (const verb of ['CONSUMER.CREATE', 'CONSUMER.LIST', 'CONSUMER.NAMES', 'STREAM.LEADER.STEPDOWN'])
          asked.set(api(verb), false)
        for (const verb of ['CONSUMER.DURABLE.CREATE', 'CONSUMER.DELETE', 'STREAM.PEER.REMOVE'])
          asked.set(`${api(verb)}.w`, false)
      }
    for (const subject of asked.keys()) holder.bus.publish(subject, nothing)
    await fleets.settle()
    off()
    expect([titleOf(holder), ...refused.toSorted()]).toEqual([
      titleOf(holder),
      ...[...asked].flatMap(([subject, may]) => (may ? [] : [subject])).toSorted(),
    ])
  }
})

test('a stream has what was granted of its own kind and fleet, and nothing else', async () => {
  const events = async (fleet: FleetName): Promise<number> => {
    const info = await fleets
      .watcher(fleet, 'core')
      .request(`$JS.API.STREAM.INFO.${streamOf(fleet, 'EVENT')}`, nothing, { timeoutMs: 2000 })
    return (JSON.parse(text(info.body)) as { state: { last_seq: number } }).state.last_seq
  }
  const before = { main: await events('main'), other: await events('other') }
  for (const from of fleets.holders)
    for (const fleet of FLEETS)
      from.bus.publish(wildcardOf(fleet, 'event.worker', paramsOf(from) as never), nothing)
  await fleets.settle()
  // n0 and n1 of each
  for (const fleet of FLEETS)
    await until(`the events of ${fleet} are there`, async () => (await events(fleet)) === before[fleet] + 2)
})
