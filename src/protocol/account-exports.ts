/**
 * What crosses between the accounts of a tenant, from THE TABLE: requests and appends as services, beats and
 * live events and logs as streams. Each user's own lists (permissions.ts) narrow them to his.
 */
import { accountOf, DISCOVERY, type Account } from './permissions.ts'
import { rootOf, wildcardOf } from './subjects.ts'
import { TABLE, type BusRole, type Row, type RowName } from './table.ts'

/** A subject that one account exports and others import. */
export interface AccountExport {
  from: Account
  to: Account[]
  /** service: requests into `from`, with answers; stream: messages that are published in `from` */
  kind: 'service' | 'stream'
  subject: string
  /** a service with several answers to one request */
  many: boolean
}

/** The exports of all accounts, for any fleet. Each user's own lists narrow them to his. */
export function accountExports(): AccountExport[] {
  const rows = Object.entries(TABLE) as [RowName, Row][]
  const service = (from: Account, to: Account[], subject: string, many: boolean): AccountExport => ({
    from,
    to,
    kind: 'service',
    subject,
    many,
  })
  const stream = (from: Account, to: Account[], subject: string): AccountExport => ({
    from,
    to,
    kind: 'stream',
    subject,
    many: false,
  })
  const all = rows.flatMap(([name, row]): AccountExport[] => {
    const subject = wildcardOf('*', name)
    const outside = (roles: readonly BusRole[], inside: Account): Account[] =>
      [...new Set(roles.map((role) => accountOf(role)))].filter((account) => account !== inside)
    switch (row.kind) {
      case 'request':
      case 'gather':
      case 'durable': {
        const from = accountOf(row.to[0]!)
        // the core may ask every request that people may ask
        return [service(from, outside([...row.from, 'coordinator'], from), subject, row.kind === 'gather')]
      }
      case 'beat':
        return row.from.map((role) => stream(accountOf(role), outside(row.to, accountOf(role)), subject))
      default:
        // An append goes to the core, where the streams are. The server does not pass it on to a third
        // account, so people import it from its publisher's account.
        return [
          service('core', outside(row.from, 'core'), subject, false),
          ...row.from.map((role) =>
            stream(
              accountOf(role),
              outside(row.to, accountOf(role)).filter((account) => account !== 'core'),
              `${rootOf('*')}.${row.kind}.>`,
            ),
          ),
        ]
    }
  })
  const others = [
    ...['$JS.API.DIRECT.GET.*', '$JS.API.DIRECT.GET.*.>'].map((subject) =>
      service('core', ['agents', 'people'], subject, true),
    ),
    // people ask the core, and the core asks the agents
    ...DISCOVERY.flatMap((subject) => [
      service('core', ['people'], subject, true),
      service('agents', ['core'], subject, true),
    ]),
    // an answer to a durable launch is a plain publication
    stream('core', ['people'], '_INBOX.>'),
  ]
  const unique = new Map(
    [...all, ...others]
      .filter(({ to }) => to.length > 0)
      .map((one) => [`${one.from} ${one.kind} ${one.subject} ${one.to.join()}`, one]),
  )
  return [...unique.values()]
}
