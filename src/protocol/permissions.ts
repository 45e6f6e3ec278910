/**
 * The subjects that each role may publish and subscribe to on the server, from THE TABLE and the streams.
 * They are allow-lists, JetStream by exact API subjects. Inbox prefixes stand here too, since they are
 * permissions. transport/server-config.ts writes the configuration that carries the lists.
 *
 * 1. A publisher with `{user}` or `{node}`, or a worker with `{run}.{role}.{index}`, in its subjects has its
 *    own name there, so the server vouches for them.
 * 2. Only the coordinator makes streams, purges, and has a consumer, on LAUNCH alone: a consumer's deliver
 *    subject is a way to publish anywhere.
 * 3. All others read the past by Direct Get, which makes nothing. An agent can read STATE's last entry and
 *    the last events of its own node. The stream's leader is asked by the coordinator alone: what is asked of
 *    it by one subject opens the whole stream.
 * 4. Coordinator, agents, people and workers are in four accounts, and only the subjects of
 *    `accountExports` cross.
 *    The asker chooses its reply subject, which reaches everything in the account of the one that answers.
 *    Measured in one account: an observer's Direct Get with the reply `$JS.API.STREAM.DELETE…` deleted the
 *    state (docs/adr/0006).
 * 5. A role that serves may answer each request once, within a minute, wherever the asker listens. No other
 *    role may publish into an inbox.
 */
import { Fault } from './faults.ts'
import { isName, isWorkerTokens } from './names.ts'
import { rootOf, subjectOf, wildcardOf } from './subjects.ts'
import { STREAMS, streamOf, TABLE, type BusRole, type Row, type RowName, type StreamName } from './table.ts'

export interface Holder {
  fleet: string
  /** the user of a client or observer; needed for these roles */
  user?: string
  /** the node of an agent or a renewal; needed for these roles */
  node?: string
  /** `RUN.ROLE.INDEX`; needed for this role */
  worker?: string
  /** the public key of a renewal; needed for this role */
  key?: string
  inboxPrefix: string
}

/** core: the coordinator and the streams. agents. people: clients and observers. workers: users' code. */
export type Account = 'core' | 'agents' | 'people' | 'workers'
const ACCOUNT_OF = {
  coordinator: 'core',
  agent: 'agents',
  renewal: 'agents',
  client: 'people',
  observer: 'people',
  worker: 'workers',
} as const satisfies Record<BusRole, Account>
export function accountOf(role: BusRole): Account {
  return ACCOUNT_OF[role]
}
/** Names of a local fleet's accounts on the server. */
export const ACCOUNT_NAMES = {
  core: 'TROUPE',
  agents: 'TROUPE_AGENTS',
  people: 'TROUPE_PEOPLE',
  workers: 'TROUPE_WORKERS',
} as const satisfies Record<Account, string>

export interface Permissions {
  account: Account
  publish: string[]
  subscribe: string[]
  /** answers per request, and their time limit; null: the role serves nothing */
  allowResponses: { max: number; ttlMs: number } | null
}

/** An answer is due within a second. A machine that was frozen answers late and is still heard. */
const RESPONSES = { max: 1, ttlMs: 60_000 } as const

/**
 * The inboxes of one holder. All lie below `_INBOX.`, so the coordinator can answer a durable launch there
 * and nowhere else.
 */
export function inboxPrefixOf(role: BusRole, name: string): string {
  return `_INBOX.${role}-${name}`
}

/**
 * The asker writes `Troupe-Reply-To`, and the coordinator's credential reaches further than the asker's: only
 * an inbox is answered.
 */
export function isInbox(subject: string): boolean {
  return /^_INBOX(\.[A-Za-z0-9_-]{1,80}){2,4}$/.test(subject)
}

/**
 * Stands for a name in a template: the server puts there the name of the credential, whose case it keeps. Who
 * mints the credential has to check the name (isNameOf). The dots of a worker's name are kept: it stands for
 * three tokens.
 */
export const PLACE_OF_NAME = '{{name()}}'
/** Stands for the public key of the credential. */
export const PLACE_OF_KEY = '{{subject()}}'

/** What a credential of this role may be called: else a wildcard would open its lists. */
export function isNameOf(role: BusRole, name: string): boolean {
  return role === 'worker' ? isWorkerTokens(name) : isName(name)
}

/** @throws {Fault} REQUEST_INVALID when a name is missing or is no name (a wildcard would open the list) */
export function permissionsOf(role: BusRole, who: Holder): Permissions {
  const { fleet, inboxPrefix } = who
  const name = nameIn(role, who)
  const fixed = fixedOf(role, name, who.key)
  if (!isName(fleet) || !/^_INBOX[A-Za-z0-9_.-]*[A-Za-z0-9_-]$/.test(inboxPrefix.replace(PLACE_OF_NAME, 'n')))
    throw new Fault('REQUEST_INVALID', `no fleet '${fleet}' with the inbox '${inboxPrefix}' can be`)
  const rows = Object.entries(TABLE) as [RowName, Row][]
  const publish = rows
    .filter(([, row]) => row.from.includes(role))
    .map(([row]) => ownSubject(fleet, row, fixed, name))
  const subscribe = rows
    .filter(([, row]) => row.to.includes(role) && row.kind !== 'durable')
    .map(([name, row]) =>
      row.kind === 'event' || row.kind === 'log'
        ? `${rootOf(fleet)}.${row.kind}.>`
        : wildcardOf(fleet, name, fixed),
    )
  const serves = role === 'agent' || role === 'coordinator'
  return {
    account: ACCOUNT_OF[role],
    publish: [
      ...new Set([
        ...publish,
        ...jetStreamOf(role, fleet, fixed),
        ...(role === 'coordinator' ? ['_INBOX.>'] : []),
        ...(ACCOUNT_OF[role] === 'people' ? DISCOVERY : []),
      ]),
    ],
    subscribe: [
      ...new Set([
        ...subscribe,
        `${inboxPrefix}.>`,
        ...(serves ? DISCOVERY : []),
        ...(role === 'coordinator' ? [DISCONNECT_ADVISORY] : []),
      ]),
    ],
    allowResponses: serves ? RESPONSES : null,
  }
}

type Fixed = { user?: string; node?: string; run?: string; role?: string; index?: string; key?: string }

/** The holder's own name; the coordinator's stands in no subject. */
function nameIn(role: BusRole, { user, node, worker }: Holder): string {
  if (role === 'coordinator') return ''
  const of = { client: 'user', observer: 'user', agent: 'node', renewal: 'node', worker: 'worker' } as const
  const name = { user, node, worker }[of[role]]
  if (name === undefined || (name !== PLACE_OF_NAME && !isNameOf(role, name)))
    throw new Fault('REQUEST_INVALID', `'${name ?? ''}' is no name of a ${of[role]}`)
  return name
}

function fixedOf(role: BusRole, name: string, key: string | undefined): Fixed {
  if (role === 'coordinator') return {}
  if (role === 'worker') return { run: '{run}', role: '{role}', index: '{index}' }
  if (role !== 'renewal') return role === 'agent' ? { node: name } : { user: name }
  if (key === undefined || (key !== PLACE_OF_KEY && !/^U[A-Z2-7]{55}$/.test(key)))
    throw new Fault('REQUEST_INVALID', `'${key ?? ''}' is no public key of a user`)
  return { node: name, key }
}

/** A worker's name is three tokens, and one place in a template. */
function ownSubject(fleet: string, row: RowName, fixed: Fixed, name: string): string {
  return wildcardOf(fleet, row, fixed).replace('{run}.{role}.{index}', name)
}

/**
 * The server publishes here when a connection of the agents' account ends. The end of an agent killed by
 * SIGKILL is seen in milliseconds.
 */
export const DISCONNECT_ADVISORY = `$SYS.ACCOUNT.${ACCOUNT_NAMES.agents}.DISCONNECT`

/** For `nats micro ls`: services listen here, all others ask. */
export const DISCOVERY = ['PING', 'INFO', 'STATS'].flatMap((verb) => [`$SRV.${verb}`, `$SRV.${verb}.>`])

/** Streams whose last entries decide what the coordinator does, or says: it asks their leader. */
const DECIDED_BY = ['STATE', 'EVENT', 'ARCHIVE'] as const satisfies readonly StreamName[]

function jetStreamOf(role: BusRole, fleet: string, fixed: { node?: string }): string[] {
  const names = Object.keys(STREAMS) as StreamName[]
  const directGet = (name: StreamName): string[] => [
    `$JS.API.DIRECT.GET.${streamOf(fleet, name)}`,
    `$JS.API.DIRECT.GET.${streamOf(fleet, name)}.>`,
  ]
  switch (role) {
    case 'agent':
      return [
        `$JS.API.DIRECT.GET.${streamOf(fleet, 'STATE')}.${subjectOf(fleet, 'state', {})}`,
        // after a reconnect an agent looks whether the server still has its last events
        `$JS.API.DIRECT.GET.${streamOf(fleet, 'EVENT')}.${wildcardOf(fleet, 'event.worker', fixed)}`,
      ]
    case 'renewal':
      return []
    case 'client':
    case 'observer':
      return names.filter((name) => streamReaders(name).includes(role)).flatMap(directGet)
    case 'worker':
      return []
    case 'coordinator': {
      const queue = streamOf(fleet, 'LAUNCH')
      return [
        ...names.flatMap((name) =>
          ['CREATE', 'UPDATE', 'INFO', 'PURGE'].map(
            (verb) => `$JS.API.STREAM.${verb}.${streamOf(fleet, name)}`,
          ),
        ),
        ...names.filter((name) => name !== 'LAUNCH').flatMap(directGet),
        ...DECIDED_BY.map((name) => `$JS.API.STREAM.MSG.GET.${streamOf(fleet, name)}`),
        `$JS.API.CONSUMER.CREATE.${queue}.*`,
        `$JS.API.CONSUMER.INFO.${queue}.*`,
        `$JS.API.CONSUMER.MSG.NEXT.${queue}.*`,
        // servers with a domain, and later versions, name domain and account
        `$JS.ACK.${queue}.>`,
        `$JS.ACK.*.*.${queue}.>`,
      ]
    }
  }
}

/** A role may read a stream's past if it may subscribe to all rows of the stream. */
function streamReaders(name: StreamName): readonly BusRole[] {
  const rows = Object.values<Row>(TABLE).filter(
    ({ kind }) => kind !== 'durable' && kind === STREAMS[name].kind,
  )
  return rows.length === 0
    ? []
    : rows.map((row) => row.to).reduce((all, to) => all.filter((role) => to.includes(role)))
}
