/**
 * Accounts and users as JWTs on a real server: who gets in, as whom, and who does not. What each may publish
 * is tried by permissions-generated.test.ts, and what a reply subject reaches by reply-subjects.test.ts.
 */
import { encodeUser } from '@nats-io/jwt'
import { nkeys } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DISCONNECT_ADVISORY } from '../../src/protocol/permissions.ts'
import { ROLES } from '../../src/protocol/table.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import type { Bus } from '../../src/transport/bus.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { signerOf } from '../../src/transport/nats/nkey-sign.ts'
import {
  mintCredentials,
  newOperatorKeys,
  newTenant,
  operatorMode,
} from '../../src/transport/nats/tenant-accounts.ts'
import { startServerOf, until, type TestServer } from '../support/test-server.ts'

const F = 'troupe.v1.main'
const nothing = new Uint8Array(0)

const { record, minter } = newTenant()
let server: TestServer
const buses: Bus[] = []
beforeAll(async () => {
  server = await startServerOf(await operatorMode(newOperatorKeys(), { main: record }), () => {
    throw new Error('nobody was known when this server started')
  })
})
afterAll(async () => {
  await Promise.all(buses.map((bus) => bus.close()))
  await server.close()
})

async function connectAs(credentials: Credentials, name: string): Promise<Bus> {
  const bus = await connectNats({ servers: server.url, credentials, name })
  buses.push(bus)
  return bus
}

function encoded(seed: string): Uint8Array {
  return new TextEncoder().encode(seed)
}

describe('a credential that is minted after the server has started', () => {
  test('is in without a reload, under its own name, whose case is kept', async () => {
    const coordinator = await connectAs(await mintCredentials(minter, 'coordinator', 'main'), 'coordinator')
    const agent = await connectAs(await mintCredentials(minter, 'agent', 'Gpu-A1'), 'agent Gpu-A1')
    const refused: string[] = []
    agent.onPermissionViolation(({ operation, subject }) => refused.push(`${operation} ${subject}`))
    const heard: string[] = []
    coordinator.subscribe(`${F}.beat.*`, ({ subject }) => heard.push(subject))
    await coordinator.flush()
    for (const node of ['Gpu-A1', 'gpu-a1', 'other']) agent.publish(`${F}.beat.${node}`, nothing)
    await agent.flush()
    await until('the own beat is there', () => heard.length > 0)
    await until('both others are refused', () => refused.length === 2)
    expect(heard).toEqual([`${F}.beat.Gpu-A1`])
    expect(refused).toEqual([`publish ${F}.beat.gpu-a1`, `publish ${F}.beat.other`])
  })

  test('is asked, and answers, across the accounts', async () => {
    const coordinator = await connectAs(await mintCredentials(minter, 'coordinator', 'main'), 'coordinator')
    const agent = await connectAs(await mintCredentials(minter, 'agent', 'n7'), 'agent n7')
    agent.subscribe(`${F}.node.n7.*.start`, (message) => message.respond(encoded('started')))
    await agent.flush()
    const answer = await coordinator.request(`${F}.node.n7.X.start`, nothing, { timeoutMs: 2000 })
    expect(new TextDecoder().decode(answer.body)).toBe('started')
  })

  test('under a name that is none, in any role: it is not minted', async () => {
    const names = [
      '*',
      '>',
      'a.b',
      'a.*',
      '',
      ' ',
      'a b',
      'a\nb',
      'é',
      'a'.repeat(41),
      '_',
      '{{name()}}',
      '$SYS',
    ]
    const workers = [
      'r1.*.0',
      'r1.t.>',
      'r1.t',
      'r1.t.0.1',
      'r1.t.00',
      'r1..0',
      'r1.t.0\n',
      `${'r'.repeat(41)}.t.0`,
    ]
    for (const role of ROLES)
      for (const name of [...names, ...workers])
        await expect(mintCredentials(minter, role, name)).rejects.toMatchObject({
          code: 'REQUEST_INVALID',
        })
  })
})

test('the end of an agent is told to the coordinator, by a subject that names no key', async () => {
  const coordinator = await connectAs(await mintCredentials(minter, 'coordinator', 'main'), 'coordinator')
  const agent = await connectAs(await mintCredentials(minter, 'agent', 'n8'), 'agent n8')
  const told: string[] = []
  coordinator.subscribe(DISCONNECT_ADVISORY, ({ body }) =>
    told.push((JSON.parse(new TextDecoder().decode(body)) as { client: { name: string } }).client.name),
  )
  await coordinator.flush()
  await agent.close()
  await until('the advisory is there', () => told.includes('agent n8'))
})

describe('not let in', () => {
  const HOUR = 3_600_000
  const open = { pub: { allow: ['>'] }, sub: { allow: ['>'] } }
  /** A user whose claims are written by hand, signed by whichever key. */
  async function forged(account: string, seed: string, permissions: object, scoped: boolean) {
    const user = nkeys.createUser()
    const jwt = await encodeUser(
      'n9',
      user,
      nkeys.fromSeed(encoded(seed)),
      { issuer_account: signerOf(account, 'account').publicKey, ...permissions } as never,
      { scopedUser: scoped },
    )
    return { nkeySeed: new TextDecoder().decode(user.getSeed()), inboxPrefix: '_INBOX.agent-n9', jwt }
  }
  const cases: [string, () => Promise<Credentials>][] = [
    ['expired', () => mintCredentials(minter, 'agent', 'n9', { expires: Date.now() - HOUR })],
    ['not yet valid', () => mintCredentials(minter, 'agent', 'n9', { notBefore: Date.now() + HOUR })],
    ['of another tenant', () => mintCredentials(newTenant().minter, 'agent', 'n9')],
    [
      'an agent that is signed by the key of clients',
      () => forged(record.accounts.agents, minter.signing.client!, {}, true),
    ],
    [
      'signed by the key of agents, with wider permissions of its own',
      () => forged(record.accounts.agents, minter.signing.agent!, open, false),
    ],
    [
      'with a JWT whose key it does not have',
      async () => ({
        ...(await mintCredentials(minter, 'agent', 'n9')),
        nkeySeed: new TextDecoder().decode(nkeys.createUser().getSeed()),
      }),
    ],
    [
      'with an NKey alone',
      async () => {
        const { nkeySeed, inboxPrefix } = await mintCredentials(minter, 'agent', 'n9')
        return { nkeySeed, inboxPrefix }
      },
    ],
  ]
  test.each(cases)('%s', async (_, credentials) => {
    await expect(connectAs(await credentials(), 'n9')).rejects.toThrow(/refuses this credential/)
  })

  test('and the same in order is let in', async () => {
    await expect(
      connectAs(
        await mintCredentials(minter, 'agent', 'n9', {
          notBefore: Date.now() - HOUR,
          expires: Date.now() + HOUR,
        }),
        'n9',
      ),
    ).resolves.toBeDefined()
  })
})
