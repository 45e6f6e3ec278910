/**
 * A reply subject is the asker's to choose, and the server publishes answers with its own rights: what it
 * could reach is tried here by each role that is not the coordinator, with everything that its credential may
 * ask.
 */
import { connect, jwtAuthenticator, nkeyAuthenticator, type Authenticator, type NatsConnection } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { inboxPrefixOf } from '../../src/protocol/permissions.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import { until } from '../support/test-server.ts'
import { HOLDERS, startRoleServer, type HolderName, type RoleServer } from '../support/role-server.ts'

const F = 'troupe.v1.main'
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
function text(body: Uint8Array): string {
  return new TextDecoder().decode(body)
}

function authenticatorOf({ nkeySeed, jwt }: Credentials): Authenticator {
  return jwt === undefined ? nkeyAuthenticator(bytes(nkeySeed)) : jwtAuthenticator(jwt, bytes(nkeySeed))
}

/** Everything that this credential may ask of the server or of others, answered or not. */
const ASKERS = ['ada', 'oli', 'n0', 'w0'] as const
const questions: Record<(typeof ASKERS)[number], [string, string][]> = {
  ada: [
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":1}'],
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":2}'],
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":3}'],
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":999}'],
    [`$JS.API.DIRECT.GET.troupe_main_EVENT.${F}.event.none`, ''],
    [`${F}.launch.ada`, '{}'],
    [`${F}.coordinator.list.ada`, '{}'],
    [`${F}.worker.r.t.0.log`, '{}'],
    [`${F}.worker.nobody.t.0.log`, '{}'],
  ],
  oli: [
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":1}'],
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":2}'],
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":3}'],
    ['$JS.API.DIRECT.GET.troupe_main_LOG', '{"seq":999}'],
    [`${F}.coordinator.list.oli`, '{}'],
    [`${F}.worker.r.t.0.log`, '{}'],
    ['$SRV.PING', ''],
  ],
  n0: [
    [`$JS.API.DIRECT.GET.troupe_main_STATE.${F}.state`, ''],
    [`${F}.event.r.t.0.exited.n0`, '{}'],
    [`${F}.log.r.t.0.1.stdout.n0`, '{"seq":2}'],
    [`${F}.beat.n0`, '{}'],
  ],
  w0: [[`${F}.coordinator.status.r1.t.0`, '{}']],
}
const targets = [
  '$JS.API.STREAM.PURGE.troupe_main_STATE',
  '$JS.API.STREAM.DELETE.troupe_main_STATE',
  '$JS.API.CONSUMER.CREATE.troupe_main_STATE.evil',
  `${F}.state`,
  `${F}.launch.ben`,
  `${F}.coordinator.launch.ben`,
  `${F}.coordinator.status.r2.t.0`,
  `${F}.node.n1.X.start`,
  `${F}.nodes.resync`,
  `${F}.beat.n1`,
  `${F}.event.r.t.0.exited.n1`,
  `${F}.log.r.t.0.1.stdout.n1`,
  `${F}.archive.r`,
  '_INBOX.client-ben.x',
  '_INBOX.agent-n1.x',
  '_INBOX.coordinator-coordinator.x',
  '$SYS.REQ.CLAIMS.UPDATE',
  '$SYS.REQ.SERVER.PING',
]

describe('with the credentials that are minted', () => {
  let roles: RoleServer
  const raw: Partial<Record<HolderName, NatsConnection>> = {}
  beforeAll(async () => {
    roles = await startRoleServer()
    for (const name of ASKERS)
      raw[name] = await connect({
        servers: roles.server.url,
        authenticator: authenticatorOf(roles.server.credentials(name)),
        inboxPrefix: inboxPrefixOf(HOLDERS[name].role, HOLDERS[name].name),
      })
    await roles.bus.coordinator.append(`${F}.state`, bytes('first'))
    await roles.bus.coordinator.append(`${F}.state`, bytes('second'))
    // what a worker prints can be anything, so also a purge, a launch, a consumer
    for (const line of [
      '{"seq":2}',
      '{"apiVersion":"troupe/v1","name":"x","roles":{"a":{"command":["id"]}}}',
      `{"stream_name":"troupe_main_STATE","config":{"durable_name":"evil","deliver_subject":"${F}.node.n0.X.start","ack_policy":"none"}}`,
    ])
      await roles.bus.n0.append(`${F}.log.r.t.0.1.stdout.n0`, bytes(line))
  })
  afterAll(async () => {
    await Promise.all(Object.values(raw).map((connection) => connection.close()))
    await roles.close()
  })

  async function stateOf(
    stream: string,
  ): Promise<{ first_seq: number; last_seq: number; consumer_count: number }> {
    return (
      JSON.parse(
        text(
          (
            await roles.admin.request(`$JS.API.STREAM.INFO.troupe_main_${stream}`, bytes(''), {
              timeoutMs: 2000,
            })
          ).body,
        ),
      ) as { state: { first_seq: number; last_seq: number; consumer_count: number } }
    ).state
  }

  describe.each(ASKERS)('%s', (holder) => {
    test('reaches nobody in another account by the reply subject of a question, and no stream', async () => {
      let asked = 0
      const serving = [
        roles.bus.coordinator.subscribe(`${F}.coordinator.list.*`, (message) =>
          message.respond(bytes('{"seq":2}')),
        ),
        // what the coordinator says of a run has words of its launcher, so it can be anything, too
        roles.bus.coordinator.subscribe(`${F}.coordinator.status.*.*.*`, (message) => {
          asked++
          message.respond(bytes('{"seq":2}'))
        }),
        roles.bus.n0.subscribe(`${F}.worker.*.*.*.log`, (message) => message.respond(bytes('{"seq":2}'))),
      ]
      const heard: string[] = []
      const told = (bus: 'coordinator' | 'n0' | 'n1' | 'ben', subject: string): void =>
        void serving.push(
          roles.bus[bus].subscribe(subject, (message) =>
            heard.push(`${bus} ${message.subject} ${text(message.body)}`),
          ),
        )
      for (const subject of [
        `${F}.state`,
        `${F}.coordinator.launch.*`,
        `${F}.beat.n1`,
        `${F}.event.r.t.0.exited.n1`,
        `${F}.archive.*`,
      ])
        told('coordinator', subject)
      for (const subject of [`${F}.node.n1.*.start`, `${F}.nodes.resync`]) told('n1', subject)
      told('n1', '_INBOX.agent-n1.>')
      told('coordinator', '_INBOX.coordinator-coordinator.x')
      told('ben', '_INBOX.client-ben.>')
      told('ben', `${F}.log.r.t.0.1.stdout.n1`)
      // neighbours in one account can be reached, by what says of itself that it is an answer: judged below
      const neighbours = holder === 'n0' ? 'n1' : 'ben'
      for (const bus of ['coordinator', 'n0', 'n1', 'ben'] as const) await roles.bus[bus].flush()
      const before = await stateOf('STATE')
      const launches = (await stateOf('LAUNCH')).last_seq

      for (const [subject, body] of questions[holder])
        for (const reply of targets) raw[holder]!.publish(subject, bytes(body), { reply })
      await raw[holder]!.flush()
      // the server answers in its own time: a question asked after all the others, and its answer heard,
      // twice
      for (let i = 0; i < 2; i++)
        for (const bus of ['coordinator', 'n0', 'n1', 'ben'] as const) await roles.bus[bus].flush()
      const queued =
        questions[holder].filter(([subject]) => subject === `${F}.launch.ada`).length * targets.length
      await new Promise((resolve) => setTimeout(resolve, 200))

      for (const subscription of serving) subscription.unsubscribe()
      expect(heard.filter((line) => !line.startsWith(neighbours))).toEqual([])
      expect(await stateOf('STATE')).toEqual(before)
      expect((await stateOf('LAUNCH')).last_seq).toBe(launches + queued)
      expect(asked).toBe(holder === 'w0' ? targets.length : 0)
    })
  })

  test('the same question with an inbox of its own is answered', async () => {
    const answer = await raw.oli!.request('$JS.API.DIRECT.GET.troupe_main_LOG', bytes('{"seq":1}'), {
      timeout: 2000,
    })
    expect(text(answer.data)).toBe('{"seq":2}')
    const last = await raw.n0!.request(`$JS.API.DIRECT.GET.troupe_main_STATE.${F}.state`, bytes(''), {
      timeout: 2000,
    })
    expect(text(last.data)).toBe('second')
  })

  test('a batch of the past comes whole, and a question that nobody serves is answered at once', async () => {
    for (let i = 0; i < 50; i++)
      await roles.bus.n0.append(`${F}.event.batch.t.${i}.ready.n0`, bytes(String(i)))
    const batch = await roles.bus.ada.getMessages('troupe_main_EVENT', {
      seq: 1,
      subject: `${F}.event.batch.>`,
      count: 200,
    })
    expect(batch.map((message) => text(message.body))).toEqual(
      Array.from({ length: 50 }, (_, i) => String(i)),
    )
    const asked = performance.now()
    await expect(
      roles.bus.ada.request(`${F}.coordinator.status.ada`, bytes('{}'), { timeoutMs: 5000 }),
    ).rejects.toMatchObject({ code: 'CONN', data: { reason: 'no-responders' } })
    await expect(
      roles.bus.coordinator.request(`${F}.node.n9.X.start`, bytes('{}'), { timeoutMs: 5000 }),
    ).rejects.toMatchObject({ code: 'CONN', data: { reason: 'no-responders' } })
    expect(performance.now() - asked).toBeLessThan(1000)
  })

  test('whoever asks who is there hears coordinator and agents, once each', async () => {
    const serving = (['coordinator', 'n0', 'n1'] as const).map((name) =>
      roles.bus[name].subscribe('$SRV.PING', (message) => message.respond(bytes(name))),
    )
    for (const name of ['coordinator', 'n0', 'n1'] as const) await roles.bus[name].flush()
    const answers = await roles.bus.oli.gather('$SRV.PING', bytes(''), { timeoutMs: 1000 })
    for (const subscription of serving) subscription.unsubscribe()
    expect(answers.map((answer) => text(answer.body)).toSorted()).toEqual(['coordinator', 'n0', 'n1'])
  })

  test('an answer out of a stream that comes on a live subject is nobody’s word, and is dropped', async () => {
    const heard: string[] = []
    const subscription = roles.bus.ben.subscribe(`${F}.log.>`, (message) => heard.push(text(message.body)))
    await roles.bus.ben.flush()
    raw.oli!.publish('$JS.API.DIRECT.GET.troupe_main_LOG', bytes('{"seq":1}'), {
      reply: `${F}.log.r.t.0.1.stdout.n0`,
    })
    await raw.oli!.request('$JS.API.DIRECT.GET.troupe_main_LOG', bytes('{"seq":1}'), { timeout: 2000 })
    await roles.bus.n0.append(`${F}.log.r.t.0.1.stdout.n0`, bytes('true'))
    await until('the true one comes', () => heard.length > 0)
    subscription.unsubscribe()
    expect(heard).toEqual(['true'])
  })
})
