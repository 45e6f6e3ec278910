/**
 * What must be refused, written by hand: it does not know the table, so it sees what the table forgot. Each
 * refusal is the server's own, and the same act by who may do it, or the lawful act beside it, works.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { startRoleServer, type HolderName, type RoleServer } from '../support/role-server.ts'
import { until } from '../support/test-server.ts'

const F = 'troupe.v1.main'
const INCARNATION = '01ARZ3NDEKTSV4RRFFQ69G5FAV'
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
function text(body: Uint8Array): string {
  return new TextDecoder().decode(body)
}

let roles: RoleServer
beforeAll(async () => void (roles = await startRoleServer()))
afterAll(() => roles.close())

async function refusesPublish(holder: HolderName, subject: string, body = '{}'): Promise<void> {
  const seen: string[] = []
  const subscription = roles.admin.subscribe(subject, (message) => seen.push(message.subject))
  await roles.admin.flush()
  expect(await roles.refusalsOf(holder, (bus) => bus.publish(subject, bytes(body)))).toEqual([
    `publish ${subject}`,
  ])
  await roles.admin.flush()
  subscription.unsubscribe()
  expect(seen).toEqual([])
}
async function refusesHearing(holder: HolderName, subject: string): Promise<void> {
  return expect(
    await roles.refusalsOf(holder, (bus) => void bus.subscribe(subject, () => undefined)),
  ).toEqual([`subscription ${subject}`])
}

/** `server` answers `subject`; `asker` gets the answer. */
async function answered(asker: HolderName, subject: string, server: HolderName): Promise<void> {
  const serving = roles.bus[server].subscribe(subject, (message) => message.respond(bytes('served')))
  await roles.bus[server].flush()
  expect(text((await roles.bus[asker].request(subject, bytes('{}'), { timeoutMs: 2000 })).body)).toBe(
    'served',
  )
  serving.unsubscribe()
}
async function hears(holder: HolderName, subject: string, act: () => unknown): Promise<void> {
  const got: string[] = []
  const subscription = roles.bus[holder].subscribe(subject, (message) => got.push(text(message.body)))
  await roles.bus[holder].flush()
  await act()
  await until(`${holder} hears ${subject}`, () => got.length > 0)
  subscription.unsubscribe()
}

describe('an observer', () => {
  test('may not launch, by request or by the durable door; a client may', async () => {
    await refusesPublish('oli', `${F}.coordinator.launch.oli`)
    await refusesPublish('oli', `${F}.launch.oli`)
    await answered('ada', `${F}.coordinator.launch.ada`, 'coordinator')
    expect((await roles.bus.ada.append(`${F}.launch.ada`, bytes('{}'))).seq).toBeGreaterThan(0)
  })
  test.each(['kill', 'stop', 'signal', 'adopt', 'drain'])('may not %s; a client may', async (verb) => {
    await refusesPublish('oli', `${F}.coordinator.${verb}.oli`)
    await answered('ada', `${F}.coordinator.${verb}.ada`, 'coordinator')
  })
  test('may not publish an event, a log or a beat; it hears them', async () => {
    for (const subject of [`${F}.event.r.t.0.exited.n0`, `${F}.log.r.t.0.1.stdout.n0`, `${F}.beat.n0`])
      await refusesPublish('oli', subject)
    await hears('oli', `${F}.event.>`, () => roles.bus.n0.append(`${F}.event.r.t.0.exited.n0`, bytes('{}')))
    await hears('oli', `${F}.log.r.>`, () => roles.bus.n0.append(`${F}.log.r.t.0.1.stdout.n0`, bytes('line')))
  })
  test('may not create a consumer or purge; it reads the past by Direct Get', async () => {
    await refusesPublish(
      'oli',
      '$JS.API.CONSUMER.CREATE.troupe_main_LOG.mine.troupe.v1.main.log.>',
      `{"stream_name":"troupe_main_LOG","config":{"deliver_subject":"${F}.coordinator.launch.ada"}}`,
    )
    await refusesPublish('oli', '$JS.API.CONSUMER.CREATE.troupe_main_LOG')
    await refusesPublish('oli', '$JS.API.STREAM.PURGE.troupe_main_EVENT')
    await refusesPublish('oli', '$JS.API.STREAM.DELETE.troupe_main_EVENT')
    await roles.bus.n0.append(`${F}.event.r.t.1.gone.n0`, bytes('{"past":1}'))
    expect(text((await roles.bus.oli.getLast('troupe_main_EVENT', `${F}.event.r.t.1.gone.n0`))!.body)).toBe(
      '{"past":1}',
    )
  })
  test('reads status as itself, not as another', async () => {
    await refusesPublish('oli', `${F}.coordinator.status.ada`)
    await answered('oli', `${F}.coordinator.status.oli`, 'coordinator')
  })
})

describe('an agent', () => {
  test.each([
    ['beat', `${F}.beat.n1`, `${F}.beat.n0`],
    ['log', `${F}.log.r.t.0.1.stdout.n1`, `${F}.log.r.t.0.1.stdout.n0`],
    ['report', `${F}.event.r.t.0.exited.n1`, `${F}.event.r.t.0.exited.n0`],
  ])('may not %s for another node; it may for its own', async (_, other, own) => {
    await refusesPublish('n0', other)
    const seen: string[] = []
    const subscription = roles.admin.subscribe(own, (message) => seen.push(message.subject))
    await roles.admin.flush()
    expect(await roles.refusalsOf('n0', (bus) => bus.publish(own, bytes('{}')))).toEqual([])
    await until('it arrives', () => seen.length > 0)
    subscription.unsubscribe()
  })
  test('may not report a run’s end, a worker’s or another node’s loss', async () => {
    await refusesPublish('n0', `${F}.event.r._._.ended._`)
    await refusesPublish('n0', `${F}.event.r.t.0.lost._`)
    await refusesPublish('n0', `${F}.event._._._.lost.n1`)
    await hears('ada', `${F}.event.r._._.ended._`, () =>
      roles.bus.coordinator.append(`${F}.event.r._._.ended._`, bytes('{}')),
    )
  })
  test('hears the orders to its own node alone', async () => {
    await refusesHearing('n0', `${F}.node.n1.*.start`)
    await refusesHearing('n0', `${F}.node.*.*.start`)
    await refusesHearing('n0', `${F}.node.>`)
    await answered('coordinator', `${F}.node.n0.${INCARNATION}.start`, 'n0')
  })
  test('may not launch or ask the coordinator', async () => {
    await refusesPublish('n0', `${F}.coordinator.launch.n0`)
    await refusesPublish('n0', `${F}.coordinator.status.ada`)
    await refusesPublish('n0', `${F}.launch.n0`)
    await answered('ada', `${F}.coordinator.status.ada`, 'coordinator')
  })
  test('reads the last entry of the state, and no other', async () => {
    await roles.bus.coordinator.append(`${F}.state`, bytes('first'))
    await roles.bus.coordinator.append(`${F}.state`, bytes('last'))
    await refusesPublish('n0', '$JS.API.DIRECT.GET.troupe_main_STATE', '{"seq":1}')
    await refusesPublish('n0', `${F}.state`)
    expect(text((await roles.bus.n0.getLast('troupe_main_STATE', `${F}.state`))!.body)).toBe('last')
    expect(text((await roles.bus.coordinator.getMessage('troupe_main_STATE', { seq: 1 }))!.body)).toBe(
      'first',
    )
  })
})

describe('nobody but the coordinator', () => {
  test.each(['ada', 'oli', 'n0', 'n1'] as const)('%s may not order a node', async (holder) => {
    for (const verb of ['prepare', 'start', 'kill', 'cancel', 'signal', 'release', 'inventory', 'adopt'])
      await refusesPublish(holder, `${F}.node.n1.${INCARNATION}.${verb}`)
    await refusesPublish(holder, `${F}.nodes.resync`)
    await answered('coordinator', `${F}.node.n1.${INCARNATION}.kill`, 'n1')
  })
  test.each(['ada', 'oli', 'n0', 'n1'] as const)('%s may not delete or purge', async (holder) => {
    for (const stream of ['STATE', 'ARCHIVE', 'EVENT', 'LOG', 'LAUNCH'])
      for (const verb of [
        'STREAM.PURGE',
        'STREAM.DELETE',
        'STREAM.MSG.DELETE',
        'STREAM.UPDATE',
        'STREAM.CREATE',
      ])
        await refusesPublish(holder, `$JS.API.${verb}.troupe_main_${stream}`)
  })
  test('the coordinator purges', async () => {
    await roles.bus.coordinator.append(`${F}.state`, bytes('old'))
    const { seq } = await roles.bus.coordinator.append(`${F}.state`, bytes('new'))
    await roles.bus.coordinator.purge('troupe_main_STATE', { beforeSeq: seq })
    expect((await roles.bus.coordinator.getMessage('troupe_main_STATE', { seq: 1 }))!.seq).toBe(seq)
  })
  test.each(['ada', 'oli', 'n0', 'n1'] as const)(
    '%s may not ask the leader of a stream, which would open all of it; the coordinator asks',
    async (holder) => {
      for (const stream of ['STATE', 'ARCHIVE', 'EVENT', 'LOG', 'LAUNCH'])
        await refusesPublish(holder, `$JS.API.STREAM.MSG.GET.troupe_main_${stream}`, '{"seq":1}')
      const { seq } = await roles.bus.coordinator.append(`${F}.state`, bytes('asked for'))
      const last = await roles.bus.coordinator.getLast('troupe_main_STATE', `${F}.state`, 'leader')
      expect([last?.seq, text(last!.body)]).toEqual([seq, 'asked for'])
      await expect(
        roles.bus.coordinator.getLast('troupe_main_LOG', `${F}.log.x`, 'leader'),
      ).rejects.toMatchObject({ code: 'PERMISSION' })
    },
  )
  test.each(['ada', 'oli', 'n0'] as const)(
    '%s may not take launches from the queue; the coordinator does',
    async (holder) => {
      await refusesPublish(holder, '$JS.API.CONSUMER.CREATE.troupe_main_LAUNCH.mine')
      await refusesPublish(holder, '$JS.API.CONSUMER.MSG.NEXT.troupe_main_LAUNCH.coordinator')
      await refusesPublish(holder, '$JS.API.DIRECT.GET.troupe_main_LAUNCH')
      const taken: string[] = []
      const stop = await roles.bus.coordinator.consumeQueue(
        'troupe_main_LAUNCH',
        'coordinator',
        2000,
        async (message) => {
          message.working()
          await message.ack()
          taken.push(text(message.body))
        },
      )
      await roles.bus.ada.append(`${F}.launch.ada`, bytes(`{"for":"${holder}"}`))
      await until('the launch is taken', () => taken.includes(`{"for":"${holder}"}`))
      await stop()
    },
  )
  test('the coordinator answers a durable launch into an inbox; a client may not write into one', async () => {
    await refusesPublish('ben', '_INBOX.client-ada.x')
    await hears('ada', '_INBOX.client-ada.x', () =>
      roles.bus.coordinator.publish('_INBOX.client-ada.x', bytes('{"run":"r"}')),
    )
  })
  test.each(['ada', 'oli', 'n0'] as const)('%s may not serve or overhear the coordinator', async (holder) => {
    for (const subject of [
      `${F}.coordinator.launch.*`,
      `${F}.coordinator.>`,
      `${F}.state`,
      `${F}.archive.>`,
      `${F}.launch.*`,
      `${F}.beat.*`,
      `${F}.>`,
      '>',
    ])
      await refusesHearing(holder, subject)
    await hears('coordinator', `${F}.beat.*`, () => roles.bus.n0.publish(`${F}.beat.n0`, bytes('{}')))
  })
})

describe('a client', () => {
  test('may not publish events; its agent may', async () => {
    for (const subject of [
      `${F}.event.r._._.ended._`,
      `${F}.event.r.t.0.exited.n0`,
      `${F}.event._._._.lost.n0`,
    ])
      await refusesPublish('ada', subject)
    await hears('ada', `${F}.event.r.t.0.ready.n0`, () =>
      roles.bus.n0.append(`${F}.event.r.t.0.ready.n0`, bytes('{}')),
    )
  })
  test('may not read other inboxes; it reads its own', async () => {
    for (const subject of [
      '_INBOX.client-ben.>',
      '_INBOX.coordinator-coordinator.>',
      '_INBOX.>',
      '_INBOX.*.>',
      '>',
    ])
      await refusesHearing('ada', subject)
    await hears('ada', '_INBOX.client-ada.>', () => roles.admin.publish('_INBOX.client-ada.y', bytes('mine')))
  })
  test('may not speak as another user', async () => {
    await refusesPublish('ada', `${F}.coordinator.launch.ben`)
    await refusesPublish('ada', `${F}.launch.ben`)
    await answered('ben', `${F}.coordinator.launch.ben`, 'coordinator')
  })
  test('may not read the state or reach the server’s own subjects', async () => {
    await refusesPublish('ada', '$JS.API.DIRECT.GET.troupe_main_STATE')
    await refusesPublish('ada', `$JS.API.DIRECT.GET.troupe_main_STATE.${F}.state`)
    await refusesPublish('ada', '$SYS.REQ.SERVER.PING')
    await refusesPublish('ada', '$SYS.REQ.CLAIMS.UPDATE')
    await refusesHearing('ada', '$SYS.ACCOUNT.TROUPE_AGENTS.DISCONNECT')
    await refusesHearing('ada', '$SYS.>')
    await hears('coordinator', '$SYS.ACCOUNT.TROUPE_AGENTS.DISCONNECT', async () =>
      (await roles.server.connect('short', 'n1')).close(),
    )
  })
  test('of another fleet reaches nothing of this one', async () => {
    await refusesPublish('ada', 'troupe.v1.other.coordinator.launch.ada')
    await refusesHearing('ada', 'troupe.v1.other.event.>')
    await answered('ada', `${F}.coordinator.list.ada`, 'coordinator')
  })
  test('a server may answer once: the second answer is refused', async () => {
    let violations = 0
    const off = roles.bus.n0.onPermissionViolation(() => violations++)
    const serving = roles.bus.n0.subscribe(`${F}.worker.r.t.0.log`, (message) => {
      message.respond(bytes('one'))
      message.respond(bytes('two'))
    })
    await roles.bus.n0.flush()
    const answers = await roles.bus.ada.gather(`${F}.worker.r.t.0.log`, bytes('{}'), { timeoutMs: 500 })
    await until('the server refuses the second', () => violations > 0)
    off()
    serving.unsubscribe()
    expect(answers.map((answer) => text(answer.body))).toEqual(['one'])
  })
})
