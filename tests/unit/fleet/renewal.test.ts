/** The life of an agent's credential over weeks, on a clock that is moved by hand. */
import { expect, test } from 'vitest'
import { keepCredential, mintAgent, serveRenewals } from '../../../src/fleet/renewal.ts'
import type { Credentials } from '../../../src/system/contexts.ts'
import { Fault } from '../../../src/protocol/faults.ts'
import { messengerOn } from '../../../src/transport/messenger.ts'
import { userClaimsOf } from '../../../src/transport/nats/jwt-claims.ts'
import { signerOf } from '../../../src/transport/nats/nkey-sign.ts'
import { newTenant } from '../../../src/transport/nats/tenant-accounts.ts'
import { until } from '../../support/test-server.ts'
import { manualClock } from '../../support/manual-clock.ts'
import { memoryServer } from '../../support/memory-bus/memory-bus.ts'

const DAY = 86_400_000
/** As the docs say: a credential lives a week, and can be renewed for a month after that. */
const [AGENT_LIFE_MS, RENEWAL_MS] = [7 * DAY, 30 * DAY]
const { minter } = newTenant()

/** An agent whose coordinator answers as long as `there`. */
async function agentOf(options: { there?: () => boolean; ageMs?: number; aheadMs?: number } = {}) {
  const clock = manualClock({ wall: Date.now() })
  const bus = memoryServer(clock)
  const lines: Record<string, unknown>[] = []
  const log = Object.assign((fields: Record<string, unknown>) => void lines.push(fields), {}) as never
  serveRenewals(
    messengerOn(bus.connect({ name: 'coordinator' }), 'main'),
    () => Promise.resolve(minter),
    { wall: () => clock.wall() - (options.aheadMs ?? 0) },
    log,
  )
  const messenger = messengerOn(bus.connect({ name: 'agent' }), 'main')
  let file: Credentials = await mintAgent(minter, 'n0', clock.wall() - (options.ageMs ?? 0))
  const connected: Credentials[] = []
  const keeper = keepCredential(file, {
    clock,
    log,
    read: () => Promise.resolve(file),
    write: (next) => Promise.resolve(void (file = next)),
    async ask({ nkeySeed, renewal }) {
      if (options.there?.() === false) throw new Fault('CONN', 'no coordinator serves it')
      if (claims(renewal).expires! <= clock.wall()) throw new Fault('PERMISSION', 'it has ended')
      const key = signerOf(nkeySeed, 'user').publicKey
      const asked = messenger.ask('renew', { node: 'n0', key }, {})
      return asked
    },
    onRenewed: (next) => Promise.resolve(void connected.push(next)),
  })
  await clock.settle()
  return {
    clock,
    keeper,
    connected,
    lines,
    isIn: () => claims(keeper.current().jwt!).expires! > clock.wall(),
    replace: (next: Credentials) => void (file = next),
  }
}

function claims(jwt: string) {
  return userClaimsOf(jwt)!
}

test('over a month an agent has a credential at every hour, of the same key, and connects with each new one once', async () => {
  const { clock, keeper, connected, isIn } = await agentOf()
  const first = claims(keeper.current().jwt!)
  for (let hour = 0; hour < 31 * 24; hour++) {
    await clock.advance(3_600_000)
    expect(isIn()).toBe(true)
  }
  expect(connected).toHaveLength(Math.floor((31 * DAY) / (3 * DAY)))
  expect(claims(keeper.current().jwt!)).toMatchObject({ name: 'n0', publicKey: first.publicKey })
  expect(connected.at(-1)).toEqual(keeper.current())
  keeper.stop()
})

// Hashing is real work beside the clock: who waits for it moves the clock in small steps.
test('no coordinator for longer than its credential lives: it is out, says so once an hour, and comes back by the door', async () => {
  let there = false
  const { clock, keeper, lines, isIn } = await agentOf({ there: () => there })
  await clock.advance(AGENT_LIFE_MS + DAY)
  expect(isIn()).toBe(false)
  const said = lines.filter(({ msg }) => msg === 'its credential is not renewed')
  const hours = (AGENT_LIFE_MS - 3 * DAY + DAY) / 3_600_000
  expect(Math.abs(said.length - hours)).toBeLessThan(hours / 20)
  there = true
  await until('it is in', () => clock.advance(1000).then(isIn))
  keeper.stop()
})

test('beyond the bound of the door it stays out, and a file that a person puts there brings it in', async () => {
  let there = false
  const { clock, keeper, isIn, replace, connected } = await agentOf({
    there: () => there,
    ageMs: AGENT_LIFE_MS + RENEWAL_MS + 1000,
  })
  there = true
  await clock.advance(DAY / 24)
  expect(isIn()).toBe(false)
  replace(await mintAgent(minter, 'n0', clock.wall()))
  await until('it is in', () => clock.advance(1000).then(isIn))
  expect(connected).toHaveLength(1)
  keeper.stop()
})

test('an agent whose clock is ten days ahead asks again only after hours', async () => {
  const { clock, keeper, connected } = await agentOf({ ageMs: 10 * DAY, aheadMs: 10 * DAY })
  await until('it has a new one', () => clock.advance(1000).then(() => connected.length > 0))
  // what the coordinator mints is as old by this clock
  await clock.advance(3_600_000)
  expect(connected).toHaveLength(1)
  keeper.stop()
})

test('an agent that starts with a credential that has ended asks until there is one', async () => {
  const clock = manualClock({ wall: Date.now() })
  const ended = await mintAgent(minter, 'n0', clock.wall() - AGENT_LIFE_MS - DAY)
  const renewed = await mintAgent(minter, 'n0', clock.wall(), ended.nkeySeed)
  let asked = 0
  const keeper = keepCredential(ended, {
    clock,
    log: (() => undefined) as never,
    read: () => Promise.resolve(ended),
    write: () => Promise.resolve(),
    ask() {
      asked++
      if (asked < 3) return Promise.reject(new Fault('CONN', 'nobody is there'))
      return Promise.resolve({ jwt: renewed.jwt!, renewal: renewed.renewal! })
    },
    onRenewed: () => Promise.resolve(),
  })
  await clock.advance(21_000)
  expect([asked, keeper.current()]).toEqual([2, ended])
  await clock.advance(20_000)
  expect(asked).toBe(3)
  expect(keeper.current().jwt).toBe(renewed.jwt)
  keeper.stop()
})
