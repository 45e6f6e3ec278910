/**
 * Attacks on a server with two fleets, by who has less than the operator: accounts that were not signed or
 * that import without leave, credentials that are forged or revoked, and messages that are too large. What a
 * credential of the product may say is tried by permissions-generated.test.ts.
 */
import { encodeAccount, encodeActivation, encodeUser } from '@nats-io/jwt'
import { nkeys } from 'nats'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { accountJwt, plainUserJwt } from '../../src/transport/nats/jwt.ts'
import { newSeed, signerOf } from '../../src/transport/nats/nkey-sign.ts'
import { pushAccounts } from '../../src/transport/nats/push-accounts.ts'
import { mintCredentials, operatorMode, systemCredentials } from '../../src/transport/nats/tenant-accounts.ts'
import type { Credentials } from '../../src/system/contexts.ts'
import { startTwoFleets, type TwoFleets } from '../support/two-fleets.ts'
import { until } from '../support/test-server.ts'

const F = 'troupe.v1.main'
const LAUNCH = `${F}.coordinator.launch.*`
const EVENTS = `${F}.event.>`
const OPEN = { publish: ['>'], subscribe: ['>'], allowResponses: null }
const LIMITS = {
  conn: -1,
  leaf: -1,
  subs: -1,
  data: -1,
  payload: -1,
  exports: -1,
  imports: -1,
  wildcards: true,
}
function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
function keyOf(seed: string): string {
  return signerOf(seed, 'account').publicKey
}

let fleets: TwoFleets
beforeAll(async () => void (fleets = await startTwoFleets()))
afterAll(() => fleets.close())

async function push(...jwts: string[]): Promise<void> {
  const bus = await fleets.connect(await systemCredentials(fleets.keys, Date.now()), 'operator')
  await pushAccounts(bus, jwts).finally(() => bus.close())
}

async function userOf(accountSeed: string): Promise<Credentials> {
  const nkeySeed = newSeed('user')
  const jwt = await plainUserJwt('evil', signerOf(nkeySeed, 'user').publicKey, accountSeed, OPEN)
  return { nkeySeed, inboxPrefix: '_INBOX.evil', jwt }
}

/** What of main's coordinator and agents an account reaches and hears, with its own rights wide open. */
async function reachOf(accountSeed: string): Promise<string[]> {
  const bus = await fleets.connect(await userOf(accountSeed), 'evil')
  const reached: string[] = []
  const offs = [
    fleets.watcher('main', 'core').subscribe('>', ({ subject, body }) => {
      if (new TextDecoder().decode(body) === 'evil') reached.push(`says ${subject}`)
    }),
    bus.subscribe('troupe.>', ({ subject, body }) => {
      if (new TextDecoder().decode(body) === 'main') reached.push(`hears ${subject}`)
    }),
  ]
  await fleets.settle()
  for (const subject of [
    `${F}.coordinator.launch.ada`,
    `${F}.state`,
    '$JS.API.STREAM.PURGE.troupe_main_STATE',
  ])
    bus.publish(subject, bytes('evil'))
  fleets.holder('main', 'coordinator').bus.publish(`${F}.event.r._._.ended._`, bytes('main'))
  await bus.flush()
  await fleets.settle()
  await bus.flush()
  for (const off of offs) off.unsubscribe()
  await bus.close()
  return reached
}

describe('an account of the same operator that imports what another fleet exports', () => {
  const main = () => fleets.tenants.main.record.accounts
  /** signed by `seed`, for `importer` */
  const activation = (subject: string, kind: 'service' | 'stream', importer: string, seed: string) =>
    encodeActivation(subject, importer, nkeys.fromSeed(bytes(seed)), kind, { subject })
  type Token = (subject: string, kind: 'service' | 'stream', importer: string) => Promise<string | undefined>
  const evil = newSeed('account')
  const cases: [string, Token][] = [
    ['without an activation', async () => undefined],
    ['with an activation that it signed itself', (s, kind, importer) => activation(s, kind, importer, evil)],
    [
      'with an activation that another fleet signed',
      (s, kind, importer) => activation(s, kind, importer, fleets.tenants.other.record.accounts.core),
    ],
    [
      'with the activation of one that may',
      (s, kind) => activation(s, kind, keyOf(main().people), main().core),
    ],
  ]
  test.each(cases)('%s reaches nothing and hears nothing', async (_, token) => {
    const importsOf = async (account: string) =>
      Promise.all(
        (
          [
            ['service', LAUNCH, account],
            ['stream', EVENTS, account],
          ] as const
        ).map(async ([type, subject]) => {
          const leave = await token(subject, type, keyOf(evil))
          return { name: subject, subject, type, account, ...(leave !== undefined && { token: leave }) }
        }),
      )
    const imports = await importsOf(keyOf(main().core))
    const jwt = await accountJwt(
      'EVIL',
      keyOf(evil),
      { limits: LIMITS, imports } as never,
      fleets.keys.operator,
    )
    await push(jwt).catch(() => undefined)
    expect(await reachOf(evil).catch((error: Error) => [error.message])).toEqual([])
  })

  test('and with the leave of the exporter it would: the import is what is refused', async () => {
    const one = newSeed('account')
    const imports = await Promise.all(
      (
        [
          ['service', LAUNCH],
          ['stream', EVENTS],
        ] as const
      ).map(async ([type, subject]) => ({
        ...{ name: subject, subject, type, account: keyOf(main().core) },
        token: await activation(subject, type, keyOf(one), main().core),
      })),
    )
    await push(
      await accountJwt('FRIEND', keyOf(one), { limits: LIMITS, imports } as never, fleets.keys.operator),
    )
    expect((await reachOf(one)).toSorted().toReversed()).toEqual([
      `says ${F}.coordinator.launch.ada`,
      `hears ${F}.event.r._._.ended._`,
    ])
  })
})

describe('an account that the operator did not sign', () => {
  const claims = { limits: LIMITS } as never
  test('lets nobody in, though it is pushed by who may push', async () => {
    const account = newSeed('account')
    const signer = nkeys.fromSeed(bytes(account))
    const byItself = await encodeAccount('SELF', keyOf(account), claims, { signer })
    const byAnother = await accountJwt('OTHER', keyOf(account), claims, newSeed('operator'))
    for (const jwt of [byItself, byAnother]) {
      await push(jwt).catch(() => undefined)
      await expect(fleets.connect(await userOf(account))).rejects.toThrow(/refuses this credential/)
    }
    for (const jwt of [`${byAnother.slice(0, -4)}AAAA`, 'x.y.z', ''])
      await expect(push(jwt)).rejects.toMatchObject({ code: 'FAILED' })
  })

  test('in the place of one that is there: its users stay, with what they may', async () => {
    const { record, minter } = fleets.tenants.main
    const forged = await accountJwt('TROUPE', keyOf(record.accounts.core), claims, newSeed('operator'))
    await push(forged).catch(() => undefined)
    const { bus } = fleets.holder('main', 'coordinator')
    await expect(bus.append(`${F}.state`, bytes('still there'))).resolves.toMatchObject({ duplicate: false })
    const again = await fleets.connect(await mintCredentials(minter, 'coordinator', 'main'))
    await expect(again.append(`${F}.state`, bytes('and again'))).resolves.toMatchObject({ duplicate: false })
    await again.close()
  })
})

describe('a user that is forged', () => {
  const cases: [string, () => Promise<[account: string, signer: string, scoped: boolean]>][] = []
  for (const role of ['client', 'observer', 'agent', 'worker'] as const)
    cases.push([
      `a coordinator, by the key of the role ${role}`,
      async () => [
        keyOf(fleets.tenants.main.record.accounts.core),
        fleets.tenants.main.minter.signing[role]!,
        true,
      ],
    ])
  for (const role of ['client', 'observer', 'agent', 'worker', 'coordinator'] as const)
    cases.push([
      `with lists of its own, by the scoped key of the role ${role}`,
      async () => {
        const { accounts } = fleets.tenants.main.minter
        const of = {
          client: 'people',
          observer: 'people',
          agent: 'agents',
          worker: 'workers',
          coordinator: 'core',
        } as const
        return [accounts[of[role]], fleets.tenants.main.minter.signing[role]!, false]
      },
    ])
  cases.push(
    [
      'by the key of the same role of another fleet',
      async () => [
        fleets.tenants.main.minter.accounts.agents,
        fleets.tenants.other.minter.signing.agent!,
        true,
      ],
    ],
    [
      'of the system account, by the key of a fleet’s coordinator',
      async () => [keyOf(fleets.keys.system), fleets.tenants.main.minter.signing.coordinator!, false],
    ],
  )
  test.each(cases)('%s is not let in', async (_, make) => {
    const [account, signer, scoped] = await make()
    const user = nkeys.createUser()
    const open = { pub: { allow: ['>'] }, sub: { allow: ['>'] } }
    const jwt = await encodeUser(
      'n0',
      user,
      nkeys.fromSeed(bytes(signer)),
      { issuer_account: account, ...(scoped ? {} : open) } as never,
      { scopedUser: scoped },
    )
    const nkeySeed = new TextDecoder().decode(user.getSeed())
    await expect(fleets.connect({ nkeySeed, inboxPrefix: '_INBOX.n0', jwt })).rejects.toThrow(
      /refuses this credential/,
    )
  })
})

test('a credential that is revoked while its launch is under way: cut off, unanswered or answered, never half', async () => {
  const { record, minter } = fleets.tenants.main
  const credentials = await mintCredentials(minter, 'client', 'eve')
  const { publicKey } = signerOf(credentials.nkeySeed, 'user')
  const eve = await fleets.connect(credentials, 'eve')
  const coordinator = fleets.holder('main', 'coordinator').bus
  let answer: (() => void) | undefined
  const taken: string[] = []
  const off = coordinator.subscribe(LAUNCH, (message) => {
    taken.push(message.subject)
    answer = () => message.respond(bytes('accepted'))
  })
  await coordinator.flush()
  const asked = eve.request(`${F}.coordinator.launch.eve`, bytes('{}'), { timeoutMs: 3000 })
  asked.catch(() => undefined)
  await until('the launch is there', () => taken.length === 1)
  const revoked = { ...record, revoked: { [publicKey]: Math.floor(Date.now() / 1000) + 1 } }
  const { accounts } = await operatorMode(fleets.keys, { main: revoked })
  const began = performance.now()
  await push(...Object.values(accounts))
  await until('eve is cut off', () => !eve.connected)
  expect(performance.now() - began).toBeLessThan(2000)
  answer!()
  await expect(asked).rejects.toMatchObject({ code: expect.stringMatching(/^(CONN|TIMEOUT|PERMISSION)$/) })
  await expect(fleets.connect(credentials, 'eve again')).rejects.toThrow(/refuses this credential/)
  // the others of her account never notice
  const ada = fleets.holder('main', 'client').bus
  const other = ada.request(`${F}.coordinator.launch.ada`, bytes('{}'), { timeoutMs: 2000 })
  await until('the other launch is there', () => taken.length === 2)
  answer!()
  await expect(other).resolves.toBeDefined()
  off.unsubscribe()
})

test('a payload that is larger than the server takes is refused with both numbers, and the connection stays', async () => {
  const ada = fleets.holder('main', 'client').bus
  const huge = new Uint8Array(5 * 1024 * 1024)
  await expect(ada.request(`${F}.coordinator.launch.ada`, huge, { timeoutMs: 2000 })).rejects.toMatchObject({
    code: 'REQUEST_INVALID',
    data: { bytesMax: 4 * 1024 * 1024 },
  })
  expect(ada.connected).toBe(true)
  const got: number[] = []
  const off = fleets.holder('main', 'coordinator').bus.subscribe(LAUNCH, ({ body }) => got.push(body.length))
  await fleets.settle()
  ada.publish(`${F}.coordinator.launch.ada`, new Uint8Array(2 * 1024 * 1024))
  await fleets.settle()
  off.unsubscribe()
  expect(got).toEqual([2 * 1024 * 1024])
})
