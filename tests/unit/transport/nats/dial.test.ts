import { expect, test } from 'vitest'
import { Fault } from '../../../../src/protocol/faults.ts'
import { dial, downTeller, type Dialling } from '../../../../src/transport/nats/dial.ts'
import { manualClock } from '../../../support/manual-clock.ts'

const away = new Fault('CONN', 'away')
const refused = new Fault('PERMISSION', 'refused')

function dialling(answers: (Fault | 'in')[], options: Partial<Dialling<string>> = {}) {
  const clock = manualClock()
  const told: [number, string][] = []
  const tries: number[] = []
  const promise = dial<string>({
    async attempt(timeoutMs) {
      tries.push(timeoutMs)
      const answer = answers.length > 1 ? answers.shift()! : answers[0]!
      if (answer === 'in') return answer
      throw answer
    },
    diagnose: async (fault) => fault,
    passes: ({ code }) => code === 'CONN',
    tell: ({ message }) => told.push([clock.now(), message]),
    clock,
    waitMs: Infinity,
    tryMs: 2000,
    ...options,
  })
  promise.catch(() => {})
  return { clock, told, tries, promise }
}

test('a bus that is away for a minute: it is told at once and then each 10 s, however often it is tried', async () => {
  const { clock, told, tries } = dialling([away])
  await clock.advance(60_000)
  expect(told).toEqual([0, 1, 2, 3, 4, 5, 6].map((i) => [i * 10_000, 'away']))
  expect(tries.length).toBeGreaterThan(100)
})

test('the trouble that is told is the latest; nothing is told any more when the bus is there', async () => {
  const answers: (Fault | 'in')[] = [away]
  const { clock, told, promise } = dialling(answers)
  await clock.advance(5000)
  answers[0] = new Fault('CONN', 'other')
  await clock.advance(10_000)
  answers[0] = 'in'
  await clock.advance(30_000)
  expect(await promise).toBe('in')
  expect(told.map(([, message]) => message)).toEqual(['away', 'other'])
})

test('no wait: one try, and nothing told', async () => {
  const { told, tries, promise } = dialling([away], { waitMs: 0 })
  await expect(promise).rejects.toBe(away)
  expect([told, tries]).toEqual([[], [2000]])
})

test('a wait that ends: the last fault, with how long it was; the last tries are no longer than what is left', async () => {
  const { clock, tries, promise } = dialling([away], { waitMs: 3000 })
  await clock.advance(3000)
  await expect(promise).rejects.toMatchObject({ code: 'CONN', exitCode: 4, message: 'away; waited 3 s for it' })
  expect(tries.at(-1)).toBeLessThan(500)
})

test('what does not pass ends the wait at once', async () => {
  const { clock, promise, tries } = dialling([away, refused])
  await clock.advance(1000)
  await expect(promise).rejects.toBe(refused)
  expect(tries).toHaveLength(2)
})

test('a signal ends the wait', async () => {
  const left = new AbortController()
  const { clock, promise } = dialling([away], { signal: left.signal })
  await clock.advance(1000)
  left.abort()
  await clock.advance(1000)
  await expect(promise).rejects.toBe(away)
})

test('a link that breaks: why it is not reached, at once and then each 10 s, until it is up', async () => {
  const clock = manualClock()
  const told: [number, string][] = []
  let why: Fault | null = away
  const teller = downTeller(
    async () => why,
    ({ message }) => told.push([clock.now(), message]),
    clock,
  )
  teller.down(new Fault('CONN', 'broke'))
  await clock.advance(25_000)
  teller.up()
  await clock.advance(60_000)
  expect(told).toEqual([
    [0, 'away'],
    [10_000, 'away'],
    [20_000, 'away'],
  ])
  // cut off, and nothing in the way: what broke it is all there is
  why = null
  told.length = 0
  teller.down(new Fault('CONN', 'broke'))
  await clock.advance(25_000)
  teller.up()
  // a credential that has ended says it all
  why = away
  teller.down(refused)
  teller.up()
  expect(told.map(([, message]) => message)).toEqual(['broke', 'refused'])
})

test('a link that is back before it is known why it broke: the break is told before its end', async () => {
  const clock = manualClock()
  const told: string[] = []
  const teller = downTeller(
    () => new Promise(() => {}),
    ({ message }) => told.push(message),
    clock,
  )
  teller.down(new Fault('CONN', 'broke'))
  teller.up()
  expect(told).toEqual(['broke'])
  teller.down(new Fault('CONN', 'closed by us'))
  teller.end()
  teller.up()
  expect(told).toEqual(['broke'])
})
