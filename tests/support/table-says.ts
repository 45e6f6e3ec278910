/**
 * What the table says of a message from a holder: whether it is granted, and where it arrives. An oracle of
 * its own: it reads the rows, and no permission that was made of them.
 */
import { expect } from 'vitest'
import { accountOf, type Account } from '../../src/protocol/permissions.ts'
import { parseSubject, wildcardOf } from '../../src/protocol/subjects.ts'
import { STREAMS, TABLE } from '../../src/protocol/table.ts'
import type { BusRole, Row, RowName, StreamName } from '../../src/protocol/table.ts'
import { ACCOUNTS } from '../../src/transport/nats/tenant-accounts.ts'
import { FLEETS, titleOf, type FleetName, type Holder, type TwoFleets } from './two-fleets.ts'

export const rows = Object.entries(TABLE) as [RowName, Row][]
export const streams = Object.keys(STREAMS) as StreamName[]
type Params = Record<string, string>
/** Every place of every row, in the name of a holder where the row has one. */
export function paramsOf(
  { role, name, key }: Pick<Holder, 'role' | 'name' | 'key'>,
  what = 'started',
): Params {
  const [run, of, index] = role === 'worker' ? name.split('.') : ['r1', 't', '0']
  return {
    ...{ run: run!, role: of!, index: index!, attempt: '1', part: '0', what, source: 'stdout' },
    incarnation: '01ARZ3NDEKTSV4RRFFQ69G5FAV',
    user: role === 'client' || role === 'observer' ? name : 'ada',
    node: role === 'agent' || role === 'renewal' ? name : 'n0',
    key,
  }
}

/** The server vouches for it: what a publisher has to have of its own in a row, by role. */
export const OWN: Record<BusRole, readonly string[]> = {
  client: ['user'],
  observer: ['user'],
  agent: ['node'],
  renewal: ['node', 'key'],
  worker: ['run', 'role', 'index'],
  coordinator: [],
}

function fitting(fleet: FleetName, subject: string): [Row, Params][] {
  return rows.flatMap(([name, row]): [Row, Params][] => {
    const params = parseSubject(fleet, name, subject)
    return params === null ? [] : [[row, params]]
  })
}

function isGranted(from: Holder, subject: string): boolean {
  const own = paramsOf(from)
  return fitting(from.fleet, subject).some(
    ([row, params]) =>
      row.from.includes(from.role) &&
      OWN[from.role].every((place) => params[place] === undefined || params[place] === own[place]),
  )
}

function hears(holder: Holder, row: Row, params: Params): boolean {
  return (
    row.kind !== 'durable' &&
    row.to.includes(holder.role) &&
    (holder.role !== 'agent' || params['node'] === undefined || params['node'] === holder.name)
  )
}

/** Where a granted one arrives by the table: holders, and accounts as their watchers see it. */
function destinations(fleets: TwoFleets, from: Holder, subject: string): string[] {
  const fits = fitting(from.fleet, subject)
  const holders = fleets.holders.filter(
    (holder) => holder.fleet === from.fleet && fits.some(([row, params]) => hears(holder, row, params)),
  )
  const accounts = new Set<Account>([
    accountOf(from.role),
    ...fits.flatMap(([row]) => (row.from.includes(from.role) ? row.to.map(accountOf) : [])),
    // the streams are there
    ...(fits.some(([row]) => streams.some((name) => STREAMS[name].kind === row.kind))
      ? ['core' as const]
      : []),
  ])
  return [...holders.map(titleOf), ...[...accounts].map((account) => `${from.fleet} ${account}`)].toSorted()
}

/** Publishes all of it, and says where each arrived and what the server refused. */
async function publishAll(fleets: TwoFleets, messages: readonly { from: Holder; subject: string }[]) {
  const arrived = messages.map((): string[] => [])
  const refused: string[] = []
  const offs: (() => void)[] = []
  const hear = (bus: Holder['bus'], subject: string, title: string): void =>
    void offs.push(
      bus.subscribe(subject, ({ body }) => void arrived[Number(new TextDecoder().decode(body))]?.push(title))
        .unsubscribe,
    )
  for (const fleet of FLEETS)
    for (const account of ACCOUNTS) hear(fleets.watcher(fleet, account), 'troupe.>', `${fleet} ${account}`)
  for (const holder of fleets.holders) {
    offs.push(
      holder.bus.onPermissionViolation(({ subject }) => refused.push(`${titleOf(holder)}: ${subject}`)),
    )
    for (const subject of heardBy(holder)) hear(holder.bus, subject, titleOf(holder))
  }
  await fleets.settle()
  expect(refused).toEqual([])
  for (const [i, { from, subject }] of messages.entries())
    from.bus.publish(subject, new TextEncoder().encode(String(i)))
  await fleets.settle()
  for (const off of offs) off()
  return { arrived: arrived.map((titles) => titles.toSorted()), refused: refused.toSorted() }
}

/** Subscriptions that do not overlap, so that a message is heard once. */
function heardBy({ fleet, role, name }: Holder): string[] {
  const subjects = rows
    .filter(([, row]) => row.to.includes(role) && row.kind !== 'durable')
    .map(([row]) => wildcardOf(fleet, row, role === 'agent' ? ({ node: name } as never) : {}))
  // a person hears the events of all rows by one subscription; the coordinator's own rows are each heard
  const ofEvents = `troupe.v1.${fleet}.event.>`
  return role === 'client' || role === 'observer'
    ? [...new Set(subjects.map((subject) => (subject.includes('.event.') ? ofEvents : subject)))]
    : [...new Set(subjects)]
}

export async function expectAsTheTableSays(
  fleets: TwoFleets,
  messages: readonly { from: Holder; subject: string }[],
): Promise<void> {
  const { arrived, refused } = await publishAll(fleets, messages)
  const said = (i: number, titles: string[]) => ({
    from: titleOf(messages[i]!.from),
    subject: messages[i]!.subject,
    arrived: [...new Set(titles)],
  })
  expect(arrived.map((titles, i) => said(i, titles))).toEqual(
    messages.map(({ from, subject }, i) =>
      said(i, isGranted(from, subject) ? destinations(fleets, from, subject) : []),
    ),
  )
  expect(refused).toEqual(
    messages
      .filter(({ from, subject }) => !isGranted(from, subject))
      .map(({ from, subject }) => `${titleOf(from)}: ${subject}`)
      .toSorted(),
  )
}
