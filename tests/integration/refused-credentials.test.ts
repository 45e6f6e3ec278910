/**
 * A credential that a real server refuses, or whose link it cuts, is named as what it is: at connect, at run
 * time, and while a component waits for a renewed one.
 */
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import type { Fault } from '../../src/protocol/faults.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import { systemClock } from '../../src/system/clock.ts'
import { connectNats } from '../../src/transport/nats/bus.ts'
import { newSeed, signerOf } from '../../src/transport/nats/nkey-sign.ts'
import type { NatsOptions } from '../../src/transport/nats/open-connection.ts'
import { pushAccounts } from '../../src/transport/nats/push-accounts.ts'
import {
  mintCredentials,
  newOperatorKeys,
  newTenant,
  operatorMode,
  systemCredentials,
} from '../../src/transport/nats/tenant-accounts.ts'
import { startServerOf, until, type TestServer } from '../support/test-server.ts'

const HOUR = 3_600_000
const keys = newOperatorKeys()
const { record, minter } = newTenant()
let server: TestServer
beforeAll(async () => {
  server = await startServerOf(await operatorMode(keys, { main: record }), () => {
    throw new Error('credentials are minted here')
  })
})
afterAll(() => server.close())

/** A clock that is wrong by so much. */
function clockOff(ms: number) {
  return { ...systemClock, wall: () => Date.now() + ms }
}
async function minted(validity: { notBefore?: number; expires?: number } = {}): Promise<Credentials> {
  return mintCredentials(minter, 'agent', 'n1', validity)
}
async function open(credentials: NatsOptions['credentials'], options: Partial<NatsOptions> = {}) {
  const bus = await connectNats({ servers: server.url, credentials, name: 'n1', ...options })
  onTestFinished(() => bus.close())
  return bus
}
async function revoke({ nkeySeed }: Credentials): Promise<void> {
  record.revoked[signerOf(nkeySeed, 'user').publicKey] = Math.floor(Date.now() / 1000) + 1
  const admin = await connectNats({
    servers: server.url,
    credentials: await systemCredentials(keys, Date.now()),
    name: 'admin',
  })
  await pushAccounts(admin, Object.values((await operatorMode(keys, { main: record })).accounts))
  await admin.close()
}
/** One character is another one. */
function damaged({ jwt, ...rest }: Credentials, at: number): Credentials {
  const place = at < 0 ? jwt!.length + at : at
  return { ...rest, jwt: `${jwt!.slice(0, place)}${jwt![place] === 'A' ? 'B' : 'A'}${jwt!.slice(place + 1)}` }
}

const cases: [string, () => Promise<Credentials | null>, RegExp, string][] = [
  ['expired', () => minted({ expires: Date.now() - HOUR }), /it expired at .* UTC, 60 min ago/, 'expired'],
  [
    'not yet valid',
    () => minted({ notBefore: Date.now() + 3 * HOUR }),
    /not valid yet: not before .* UTC, in 3 h by this machine's clock, which says .* UTC/,
    'not-yet-valid',
  ],
  [
    'of another fleet',
    () => mintCredentials(newTenant().minter, 'agent', 'n1'),
    /it is of another fleet: the bus \('test-\d+'\) looked for its account and does not know it$/,
    'another-fleet',
  ],
  [
    'of another fleet, with dates',
    () => mintCredentials(newTenant().minter, 'agent', 'n1', { expires: Date.now() + HOUR }),
    /it is of another fleet: .*, though by this machine's clock \(.* UTC\) it is valid to .* UTC$/,
    'another-fleet',
  ],
  [
    'revoked before',
    async () => {
      const credentials = await minted()
      await revoke(credentials)
      return credentials
    },
    /it was revoked, or is of another fleet: the bus \('test-\d+'\) does not take it/,
    'revoked-or-another-fleet',
  ],
  ['none', async () => null, /refuses this credential: there is none/, 'no-credential'],
  [
    'of an earlier version',
    async () => ({ nkeySeed: newSeed('user'), inboxPrefix: '_INBOX.n1' }),
    /a key without a JWT/,
    'no-jwt',
  ],
  [
    'whose JWT is damaged in what it says',
    async () => damaged(await minted(), 100),
    /its JWT is damaged/,
    'damaged',
  ],
  [
    'whose JWT is damaged in its signature',
    async () => damaged(await minted(), -10),
    /its JWT is damaged/,
    'damaged',
  ],
  [
    'whose JWT is cut off',
    async () => {
      const { jwt, ...rest } = await minted()
      return { ...rest, jwt: jwt!.slice(0, -20) }
    },
    /its JWT is damaged/,
    'damaged',
  ],
  [
    'whose seed is damaged',
    async () => {
      const { nkeySeed, ...rest } = await minted()
      return {
        ...rest,
        nkeySeed: `${nkeySeed.slice(0, 20)}${nkeySeed[20] === 'A' ? 'B' : 'A'}${nkeySeed.slice(21)}`,
      }
    },
    /this credential is damaged: .*checksum/,
    'damaged',
  ],
  [
    'whose seed is another one’s',
    async () => ({ ...(await minted()), nkeySeed: newSeed('user') }),
    /JWT is that of another key than its seed/,
    'damaged',
  ],
]

describe('a credential is refused, by its name and with a next step', () => {
  test.each(cases)('%s', async (_, credentials, message, reason) => {
    await expect(open(await credentials())).rejects.toMatchObject({
      code: 'PERMISSION',
      exitCode: 5,
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/./),
      data: { reason },
    })
  })

  test('by a machine whose clock is behind: both clocks are told', async () => {
    const credentials = await minted({ notBefore: Date.now() + 3000 })
    await expect(open(credentials, { clock: clockOff(-HOUR) })).rejects.toMatchObject({
      message: expect.stringMatching(
        /not valid yet: .*it was made at .* UTC and this machine's clock says .* UTC, .* wrong by at least 60 min/,
      ),
      hint: expect.stringMatching(/clock of this machine/),
      data: { reason: 'not-yet-valid' },
    })
  })

  test('at once, also when a bus is waited for: waiting does not help a credential that stays as it is', async () => {
    const before = performance.now()
    await expect(
      open(await minted({ expires: Date.now() - HOUR }), { waitMs: 20_000 }),
    ).rejects.toMatchObject({ data: { reason: 'expired' } })
    expect(performance.now() - before).toBeLessThan(5000)
  })
})

describe('a link is cut, and said to be', () => {
  /** A connection that is told of, whose file can be exchanged. */
  async function linked(first: Credentials, options: Partial<NatsOptions> = {}) {
    let file: Credentials | null = first
    const told: Fault[] = []
    const bus = await open(async () => file, { onTrouble: (fault) => told.push(fault), ...options })
    return {
      bus,
      told,
      renew: (next: Credentials | null) => void (file = next),
    }
  }

  test('at its end: expired, and a renewed credential in the same place is taken by itself', async () => {
    const { bus, told, renew } = await linked(await minted({ expires: Date.now() + 2000 }))
    await until('the link is cut', () => told.length > 0)
    expect(told[0]).toMatchObject({
      code: 'PERMISSION',
      message: expect.stringMatching(/cut the link of this credential: it expired at .* UTC/),
      data: { reason: 'expired' },
    })
    renew(await minted({ expires: Date.now() + HOUR }))
    // within the second in which it ends the server lets it in again, and cuts it again
    await until('it is back', () =>
      bus.flush().then(
        () => true,
        () => false,
      ),
    )
    expect(new Set(told.map(({ data }) => data['reason']))).toEqual(new Set(['expired']))
  })

  test('at its end by a server whose clock is ahead of ours: by how much the two differ', async () => {
    const { told } = await linked(await minted({ expires: Date.now() + 2000 }), { clock: clockOff(-HOUR) })
    await until('the link is cut', () => told.length > 0)
    expect(told[0]!.message).toMatch(
      /expired at .* UTC by the clock of the bus; this machine's says .* UTC, .*wrong by about 60 min/,
    )
  })

  test('by a revocation: revoked; one that is damaged or somebody else’s is not taken in its place, a good one is', async () => {
    const first = await minted()
    const { bus, told, renew } = await linked(first)
    await revoke(first)
    await until('it is said', () => told.length > 0)
    expect(told[0]).toMatchObject({
      code: 'PERMISSION',
      message: expect.stringMatching(/refuses this credential: it was revoked/),
      data: { reason: 'revoked' },
    })
    renew(damaged(await minted(), -10))
    renew(await mintCredentials(minter, 'agent', 'n2'))
    renew(null)
    expect(bus.connected).toBe(false)
    renew(await minted())
    await until('it is back', () => bus.connected)
  })

  test('by a server that ends: it is not reached, and why; a credential that waits for it is not blamed', async () => {
    const { bus, told } = await linked(await minted())
    await server.kill()
    try {
      await until('it is said', () => told.length > 0)
      expect(told[0]).toMatchObject({
        code: 'CONN',
        message: expect.stringMatching(/cannot be reached: nothing listens there \(ECONNREFUSED\)/),
        data: { address: server.url, reason: 'refused' },
      })
    } finally {
      await server.start()
    }
    await until('it is back', () => bus.connected)
  })

  test('a component that waits with an expired credential says so, and is in when its file is renewed', async () => {
    let file = await minted({ expires: Date.now() - HOUR })
    const told: Fault[] = []
    const waiting = open(async () => file, { waitMs: Infinity, onTrouble: (fault) => told.push(fault) })
    await until('it is said', () => told.length > 0)
    expect(told[0]!.data['reason']).toBe('expired')
    file = await minted()
    expect((await waiting).connected).toBe(true)
  })
})
