import { expect, test } from 'vitest'
import { inboxPrefixOf, isInbox, permissionsOf } from '../../../src/protocol/permissions.ts'
import { ROLES } from '../../../src/protocol/table.ts'

const who = { fleet: 'main', user: 'ada', node: 'n0', inboxPrefix: '_INBOX.client-ada' }

test.each(ROLES)('%s has exact JetStream subjects and no wildcard over the fleet', (role) => {
  const { publish, subscribe } = permissionsOf(role, who)
  for (const subject of [...publish, ...subscribe])
    expect(subject).not.toMatch(
      /^(>|\$JS\.>|\$JS\.API\.>|\$JS\.API\.[A-Z]+\.>|\$SYS\.>|troupe\.>|troupe\.v1\.(main\.)?>)$/,
    )
  expect(new Set(publish).size).toBe(publish.length)
  expect(subscribe.filter((subject) => subject.startsWith('_INBOX'))).toEqual(['_INBOX.client-ada.>'])
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
  expect(() => permissionsOf('client', { fleet: 'main', inboxPrefix: 'x' })).toThrow(
    expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
  )
  for (const inboxPrefix of ['>', 'troupe.v1', '_INBOX.*', '_INBOX.', ''])
    expect(() => permissionsOf('client', { ...who, inboxPrefix })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
    )
})

test('a template has the place of the name wherever a name would stand, and nothing else of the kind', () => {
  const place = '{{name()}}'
  const named = permissionsOf('agent', {
    fleet: 'main',
    node: 'n0',
    inboxPrefix: inboxPrefixOf('agent', 'n0'),
  })
  const template = permissionsOf('agent', {
    fleet: 'main',
    node: place,
    inboxPrefix: inboxPrefixOf('agent', place),
  })
  const filled = (subjects: string[]): string[] => subjects.map((subject) => subject.replaceAll(place, 'n0'))
  expect(filled(template.publish)).toEqual(named.publish)
  expect(filled(template.subscribe)).toEqual(named.subscribe)
  for (const other of ['{{tag(node)}}', '{{account-name()}}', `${place}${place}`, `a${place}`])
    expect(() =>
      permissionsOf('agent', { fleet: 'main', node: other, inboxPrefix: '_INBOX.agent-n0' }),
    ).toThrow(expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error)
})

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
