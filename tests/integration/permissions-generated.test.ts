/**
 * Every row of the table and every stream, against every role, on a real server: what the table does not
 * grant is refused.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { parseSubject, rootOf, subjectOf, wildcardOf } from '../../src/protocol/subjects.ts'
import {
  STREAMS,
  streamOf,
  TABLE,
  type Row,
  type RowName,
  type StreamName,
} from '../../src/protocol/table.ts'
import type { Message } from '../../src/transport/bus.ts'
import { HOLDERS, startRoleServer, type HolderName, type RoleServer } from '../support/role-server.ts'
import { until } from '../support/test-server.ts'

const rows = Object.entries(TABLE) as [RowName, Row][]
const holders = (Object.keys(HOLDERS) as HolderName[]).filter((name) => name !== 'ben' && name !== 'n1')
const PARAMS = {
  // of the one worker that holds a credential
  run: 'r1',
  role: 't',
  index: 0,
  attempt: 1,
  what: 'started',
  source: 'stdout',
  verb: 'x',
  incarnation: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
}
const nothing = new Uint8Array(0)

/** The row's subject for one user and node; an event of a run has no node of an agent. */
function sample(name: RowName, user: string, node: string): string {
  return subjectOf('main', name, { ...PARAMS, user, node } as never)
}
function ownUser(holder: HolderName): string {
  return HOLDERS[holder].role === 'client' || HOLDERS[holder].role === 'observer' ? holder : 'ada'
}
function ownNode(holder: HolderName): string {
  return HOLDERS[holder].role === 'agent' ? holder : 'n0'
}

/** The subject is one of the row's, in the holder's own name. */
function fits(name: RowName, subject: string, holder: HolderName): boolean {
  const params = parseSubject('main', name, subject) as { node?: string } | null
  return (
    params !== null &&
    (HOLDERS[holder].role !== 'agent' || params.node === undefined || params.node === holder)
  )
}

describe('with the credentials that are minted', () => {
  let roles: RoleServer
  beforeAll(async () => void (roles = await startRoleServer()))
  afterAll(() => roles.close())

  /**
   * Subjects that really arrived in the fleet while `act` ran, in the coordinator's account or the agents'.
   */
  async function arrived(act: () => Promise<unknown>): Promise<string[]> {
    const seen = new Set<string>()
    const admins = [roles.admin, roles.agentsAdmin]
    const subscriptions = admins.map((admin) =>
      admin.subscribe(`${rootOf('main')}.>`, ({ subject }) => seen.add(subject)),
    )
    for (const admin of admins) await admin.flush()
    await act()
    for (const admin of admins) await admin.flush()
    for (const subscription of subscriptions) subscription.unsubscribe()
    return [...seen]
  }

  describe.each(rows)('%s', (name, row) => {
    test.each(holders)('%s may publish it only if the table says so', async (holder) => {
      const subject = sample(name, ownUser(holder), ownNode(holder))
      let refused: string[] = []
      const seen = await arrived(
        async () => (refused = await roles.refusalsOf(holder, (bus) => bus.publish(subject, nothing))),
      )
      // an event of a node has the shape of one that this node's agent may send; parsing tells them apart,
      // the
      // server cannot
      const granted = rows.some(
        ([other, { from }]) =>
          (from as readonly string[]).includes(HOLDERS[holder].role) && fits(other, subject, holder),
      )
      if (granted) expect([refused, seen]).toEqual([[], [subject]])
      else expect([refused, seen]).toEqual([[`publish ${subject}`], []])
    })

    test.each(holders)('%s may hear it only if the table says so', async (holder) => {
      const { role } = HOLDERS[holder]
      const subject = wildcardOf(
        'main',
        name,
        role === 'agent' && row.subject.includes('{node}') ? ({ node: holder } as never) : {},
      )
      const got: Message[] = []
      let subscription: { unsubscribe(): void } | undefined
      const refused = await roles.refusalsOf(
        holder,
        (bus) => void (subscription = bus.subscribe(subject, (message) => got.push(message))),
      )
      const sayer = (row.from as readonly string[]).includes('agent') ? roles.agentsAdmin : roles.admin
      sayer.publish(sample(name, ownUser(holder), ownNode(holder)), nothing)
      await sayer.flush()
      const allowed = (row.to as readonly string[]).includes(role) && row.kind !== 'durable'
      if (allowed) await until(`${holder} hears ${name}`, () => got.length > 0)
      else await roles.bus[holder].flush()
      subscription!.unsubscribe()
      expect([refused, got.map((m) => m.subject)]).toEqual(
        allowed ? [[], [sample(name, ownUser(holder), ownNode(holder))]] : [[`subscription ${subject}`], []],
      )
    })
  })

  const withUser = rows.filter(([, row]) => row.subject.includes('{user}'))
  test.each(withUser)('%s carries the server’s word for the user: ada is not ben', async (name, row) => {
    const holder: HolderName = (row.from as readonly string[]).includes('observer') ? 'oli' : 'ada'
    expect(await roles.refusalsOf(holder, (bus) => bus.publish(sample(name, 'ben', 'n0'), nothing))).toEqual([
      `publish ${sample(name, 'ben', 'n0')}`,
    ])
    expect(await roles.refusalsOf(holder, (bus) => bus.publish(sample(name, holder, 'n0'), nothing))).toEqual(
      [],
    )
  })

  const ofAgents = rows.filter(([, row]) => (row.from as readonly string[]).includes('agent'))
  test.each(ofAgents)('%s carries the server’s word for the node: n0 is not n1', async (name) => {
    expect(await roles.refusalsOf('n0', (bus) => bus.publish(sample(name, 'ada', 'n1'), nothing))).toEqual([
      `publish ${sample(name, 'ada', 'n1')}`,
    ])
    expect(await roles.refusalsOf('n1', (bus) => bus.publish(sample(name, 'ada', 'n1'), nothing))).toEqual([])
  })

  const requests = rows.filter(([, row]) => row.kind === 'request')
  test.each(requests)('%s is answered into the inbox of who asks', async (name, row) => {
    const server: HolderName = (row.to as readonly string[]).includes('agent') ? 'n0' : 'coordinator'
    const asker = holders.find((holder) => row.from.includes(HOLDERS[holder].role))!
    const subject = sample(name, 'ada', 'n0')
    const serving = roles.bus[server].subscribe(subject, (message) =>
      message.respond(new TextEncoder().encode('answer')),
    )
    await roles.bus[server].flush()
    const answer = await roles.bus[asker].request(subject, nothing, { timeoutMs: 2000 })
    serving.unsubscribe()
    expect(new TextDecoder().decode(answer.body)).toBe('answer')
  })

  const streams = Object.keys(STREAMS) as StreamName[]
  describe.each(streams)('stream %s', (name) => {
    const stream = streamOf('main', name)
    const readers = rows
      .filter(([, row]) => row.kind !== 'durable' && row.subject.split('.')[0] === STREAMS[name].token)
      .flatMap(([, row]) => row.to as readonly string[])

    test.each(holders)('%s reads its past by Direct Get only if it may hear it live', async (holder) => {
      const { role } = HOLDERS[holder]
      const subject = `$JS.API.DIRECT.GET.${stream}`
      const may =
        name !== 'LAUNCH' && (role === 'coordinator' || (role !== 'agent' && readers.includes(role)))
      expect(await roles.refusalsOf(holder, (bus) => bus.publish(subject, nothing))).toEqual(
        may ? [] : [`publish ${subject}`],
      )
    })

    test.each(holders)(
      '%s makes and purges it, and asks its leader, only as the coordinator; nobody deletes it or consumes but on the work queue',
      async (holder) => {
        const may = HOLDERS[holder].role === 'coordinator'
        const api = (verb: string): string => `$JS.API.${verb}.${stream}`
        const ours = ['STREAM.INFO', 'STREAM.CREATE', 'STREAM.UPDATE', 'STREAM.PURGE'].map(api)
        const leader = api('STREAM.MSG.GET')
        const asksLeader = may && ['STATE', 'EVENT', 'ARCHIVE'].includes(name)
        const queue = [
          `${api('CONSUMER.CREATE')}.w`,
          `${api('CONSUMER.MSG.NEXT')}.w`,
          `$JS.ACK.${stream}.w.1.1.1.1.1`,
        ]
        const nobodys = [
          ...[
            'STREAM.DELETE',
            'STREAM.MSG.DELETE',
            'STREAM.RESTORE',
            'STREAM.SNAPSHOT',
            'CONSUMER.CREATE',
            'CONSUMER.LIST',
          ].map(api),
          `${api('CONSUMER.DURABLE.CREATE')}.w`,
          `${api('CONSUMER.DELETE')}.w`,
          '$JS.API.STREAM.LIST',
          '$JS.API.INFO',
        ]
        const refused = await roles.refusalsOf(holder, (bus) => {
          for (const subject of [...ours, leader, ...queue, ...nobodys]) bus.publish(subject, nothing)
        })
        expect(refused).toEqual(
          [
            ...(may ? [] : ours),
            ...(asksLeader ? [] : [leader]),
            ...(may && name === 'LAUNCH' ? [] : queue),
            ...nobodys,
          ].map((subject) => `publish ${subject}`),
        )
      },
    )
  })
})
