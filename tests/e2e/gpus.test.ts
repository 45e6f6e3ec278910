/** GPUs that a program named nvidia-smi tells of (answers in the published form, replayed: this machine has none), leased by a real fleet. */
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { root, startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet({ env: { PATH: `${join(root, 'tests/support/nvidia-smi/plain')}${delimiter}${process.env['PATH']}`, CUDA_VISIBLE_DEVICES: undefined } })
})
afterAll(() => fleet.end())

const launch = async (name: string, gpus: number, script: string): Promise<string> => (await fleet.troupe(['launch', '-q', '-f', '-'], { input: task(name, ['sh', '-c', script], { resources: { gpus } }) })).stdout.trim()
const visible = async (run: string): Promise<string[]> => (await fleet.troupe(['logs', run, '--raw', '--stream', 'stdout'])).stdout.trim().split(',')

test('several GPUs a worker: leases never overlap, what does not fit waits with both numbers, and freed ones come back [A-19 A-04 +A7 +U7]', async () => {
  const script = 'echo $CUDA_VISIBLE_DEVICES; sleep 600'
  const first = await launch('three', 3, script)
  const second = await launch('four', 4, script)
  for (const run of [first, second]) expect((await fleet.troupe(['wait', run, '--for', 'running', '--timeout', '20s'])).code).toBe(0)
  const third = await launch('two', 2, 'echo $CUDA_VISIBLE_DEVICES')
  const pending = await fleet.json(['status', third])
  expect(pending).toMatchObject({ state: 'pending' })
  expect(pending.reason).toMatch(/GPU/i)
  const held = await until('both have told what they see', async () => {
    const seen = [await visible(first), await visible(second)]
    return seen[0]!.length === 3 && seen[1]!.length === 4 ? seen.flat() : null
  })
  expect(new Set(held).size).toBe(7)
  await fleet.troupe(['kill', first])
  expect((await fleet.troupe(['wait', third, '--timeout', '20s'])).code).toBe(0)
  const given = await visible(third)
  expect(given).toHaveLength(2)
  const four = await visible(second)
  for (const gpu of given) expect(four).not.toContain(gpu)
  await fleet.troupe(['kill', second])
})

test('a worker that leased no GPU sees none, and more than the node has is refused with both numbers [A-19 A-36]', async () => {
  const none = await launch('none', 0, 'echo "[$CUDA_VISIBLE_DEVICES]"')
  await fleet.troupe(['wait', none])
  expect(await visible(none)).toEqual(['[]'])
  const refused = await fleet.troupe(['launch', '-f', '-'], { input: task('nine', ['true'], { resources: { gpus: 9 } }) })
  expect(refused.code).toBe(2)
  expect(refused.stderr).toMatch(/9\D.*8|8\D.*9/s)
})
