/** Signals to `run`: each has its bound, whoever else is dead. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { task, until } from '../support/fleet.ts'

const cli = cliFleet()
/** After a stop of 500 ms grace and after a kill a client waits 20 s more. */
const BOUND_MS = 26_000

/** A run that TERM does not end, followed by `run`. */
async function follow(name: string, grace: string) {
  const file = join(cli.dir, `${name}.json`)
  await writeFile(
    file,
    task(name, ['sh', '-c', 'trap "" TERM; echo up; while :; do sleep 0.05; done'], { stop: { grace } }),
  )
  const child = cli.start(['run', '-f', file])
  await until('it runs', () => child.output().stdout.includes('up\n'))
  return child
}
type Following = Awaited<ReturnType<typeof follow>>

/** Each signal is sent when the one before has been said to have come. */
async function signalled(
  child: Following,
  count: number,
): Promise<{ code: number; ms: number; said: string }> {
  const words = ['stopping ', 'killing ', 'leaving ']
  const began = Date.now()
  for (const [i, word] of words.slice(0, count).entries()) {
    // the same signal twice at once counts as one
    child.kill(i % 2 === 0 ? 'SIGTERM' : 'SIGINT')
    await until(`it says ${word}`, () => child.output().stderr.includes(word))
  }
  await child.ended
  return { code: child.exitCode!, ms: Date.now() - began, said: child.output().stderr }
}

test('a second signal kills what would take its whole grace; receipts are waited for', async () => {
  const { code, ms, said } = await signalled(await follow('deaf', '10m'), 2)
  expect({ code, left: said.includes('leaving') }).toEqual({ code: 130, left: false })
  expect(ms).toBeLessThan(BOUND_MS)
  const [run] = /deaf-[0-9a-f]{12}/.exec(said)!
  expect((await cli.fleet.json(['status', run])).workers[0].exit.signal).toBe('SIGKILL')
})

test.each(['the coordinator is dead', 'bus and coordinator are dead', 'the bus is frozen'])(
  '%s: one signal, two, three: `run` ends with 130 within its bound, and says that it leaves the run',
  async (how) => {
    const children = await Promise.all([1, 2, 3].map((n) => follow(`left${n}`, '500ms')))
    const { bus, coordinator } = cli.fleet.info.pids
    if (how !== 'the bus is frozen') process.kill(coordinator, 'SIGKILL')
    if (how.startsWith('bus')) process.kill(bus, 'SIGKILL')
    if (how === 'the bus is frozen') process.kill(bus, 'SIGSTOP')
    try {
      const ends = await Promise.all(children.map((child, i) => signalled(child, i + 1)))
      for (const [i, { code, ms, said }] of ends.entries()) {
        expect(code).toBe(130)
        expect(said).toContain('leaving left')
        expect(ms).toBeLessThan(i === 2 ? 5000 : BOUND_MS)
      }
    } finally {
      if (how === 'the bus is frozen') process.kill(bus, 'SIGCONT')
      await cli.fleet.repair(2)
      await cli.fleet.troupe(['kill', 'all'])
    }
  },
)
