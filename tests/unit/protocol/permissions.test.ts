import { expect, test } from 'vitest'
import { inboxPrefixOf, isInbox, isNameOf, permissionsOf } from '../../../src/protocol/permissions.ts'
import { ROLES, TABLE, type Row } from '../../../src/protocol/table.ts'

const who = {
  fleet: 'main',
  user: 'ada',
  node: 'n0',
  key: `U${'A'.repeat(55)}`,
  worker: 'r1.t.0',
  inboxPrefix: '_INBOX.client-ada',
}

test.each(ROLES)('%s has exact JetStream subjects and no wildcard over the fleet', (role) => {
  const { publish, subscribe } = permissionsOf(role, who)
  for (const subject of [...publish, ...subscribe])
    expect(subject).not.toMatch(
      /^(>|\$JS\.>|\$JS\.API\.>|\$JS\.API\.[A-Z]+\.>|\$SYS\.>|troupe\.>|troupe\.v1\.(main\.)?>)$/,
    )
  expect(new Set(publish).size).toBe(publish.length)
  expect(subscribe.filter((subject) => subject.startsWith('_INBOX'))).toEqual(['_INBOX.client-ada.>'])
})

/** Each of them would stand for other tokens than the three of one worker. */
const NO_WORKERS = [
  'r1.t',
  'r1.t.0.1',
  'r1.t.*',
  'r1.t.>',
  '*.t.0',
  'r1.*.0',
  'r1..0',
  '.t.0',
  'r1.t.',
  'r1.t.00',
  'r1.t.-1',
  'r1.t.1e3',
  'r1.t.0\n',
  'r1.t .0',
  'ré.t.0',
  `${'r'.repeat(41)}.t.0`,
  'r1._.0',
  '{{name()}}.t.0',
]

test('a worker’s credential is called RUN.ROLE.INDEX, everybody else’s by one name', () => {
  for (const name of ['r1.t.0', 'Run-1.trainer_2.123', `${'r'.repeat(40)}.${'t'.repeat(40)}.0`])
    expect(isNameOf('worker', name)).toBe(true)
  for (const name of NO_WORKERS)
    expect([name, ...ROLES.filter((role) => isNameOf(role, name))]).toEqual([name])
  for (const role of ROLES)
    for (const name of ['', '*', '>', 'a.b', 'a b', 'a\n', 'é', '_', '-a', 'a'.repeat(41), '{{name()}}'])
      expect([role, name, isNameOf(role, name)]).toEqual([role, name, false])
})

test('a worker may ask of its own run alone, and hears its own inbox alone', () => {
  for (const row of Object.values<Row>(TABLE))
    if (row.from.includes('worker'))
      expect(row.subject).toMatch(/^coordinator\.\w+\.\{run\}\.\{role\}\.\{index\}$/)
  const inboxPrefix = inboxPrefixOf('worker', 'r1.t.0')
  expect(permissionsOf('worker', { fleet: 'main', worker: 'r1.t.0', inboxPrefix })).toEqual({
    account: 'workers',
    publish: ['troupe.v1.main.coordinator.status.r1.t.0'],
    subscribe: ['_INBOX.worker-r1.t.0.>'],
    allowResponses: null,
  })
})

test('a name that is missing or a wildcard is refused: it would open the list', () => {
  for (const name of ['*', '>', 'a.b', '', '_']) {
    expect(() => permissionsOf('client', { ...who, user: name })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
    )
    expect(() => permissionsOf('agent', { ...who, node: name })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
    )
    expect(() => permissionsOf('coordinator', { ...who, fleet: name })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
    )
  }
  for (const worker of [...NO_WORKERS, 'r1', '*'])
    expect(() => permissionsOf('worker', { ...who, worker })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
    )
  expect(() => permissionsOf('client', { fleet: 'main', inboxPrefix: 'x' })).toThrow(
    expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
  )
  for (const inboxPrefix of ['>', 'troupe.v1', '_INBOX.*', '_INBOX.', ''])
    expect(() => permissionsOf('client', { ...who, inboxPrefix })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
    )
})

test.each([
  ['agent', 'n0'],
  ['client', 'n0'],
  ['observer', 'n0'],
  ['worker', 'r1.t.0'],
] as const)(
  'the template of %s has the place of the name wherever a name would stand, and nothing else of the kind',
  (role, name) => {
    const place = '{{name()}}'
    const of = (held: string) => ({
      fleet: 'main',
      node: held,
      user: held,
      worker: held,
      inboxPrefix: inboxPrefixOf(role, held),
    })
    const named = permissionsOf(role, of(name))
    const template = permissionsOf(role, of(place))
    const filled = (subjects: string[]): string[] =>
      subjects.map((subject) => subject.replaceAll(place, name))
    expect(filled(template.publish)).toEqual(named.publish)
    expect(filled(template.subscribe)).toEqual(named.subscribe)
    expect(JSON.stringify(template)).not.toMatch(/(?<!\{)\{\w+\}/)
    for (const other of ['{{tag(node)}}', '{{account-name()}}', `${place}${place}`, `a${place}`])
      expect(() => permissionsOf(role, { ...of(other), inboxPrefix: '_INBOX.n0' })).toThrow(
        expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
      )
  },
)

test('an answer to a durable launch goes into an inbox and nowhere else', () => {
  expect(isInbox(`${inboxPrefixOf('client', 'ada')}.abc.1`)).toBe(true)
  for (const subject of [
    'troupe.v1.main.state',
    '_INBOX',
    '_INBOX.*.x',
    '_INBOX.>',
    '$JS.API.STREAM.PURGE.x',
    'x._INBOX.y.z',
    '_INBOXES.a.b',
    '',
  ])
    expect(isInbox(subject)).toBe(false)
})
