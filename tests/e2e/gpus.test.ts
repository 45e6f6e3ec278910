/**
 * GPUs that a program named nvidia-smi tells of (answers in the published form, replayed: this machine has
 * none), leased by a real fleet.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { fakeGpus } from '../support/fake-gpus.ts'
import { startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let bin: string
beforeAll(async () => {
  bin = mkdtempSync(join(tmpdir(), 'troupe-gpus-'))
  fleet = await startFleet({
    env: {
      PATH: `${fakeGpus('plain', bin)}${delimiter}${process.env['PATH']}`,
      CUDA_VISIBLE_DEVICES: undefined,
    },
  })
})
afterAll(async () => {
  rmSync(bin, { recursive: true })
  await fleet.end()
})

async function launch(name: string, gpus: number, script: string): Promise<string> {
  return (
    await fleet.troupe(['launch', '-q', '-f', '-'], {
      input: task(name, ['sh', '-c', script], { resources: { gpus } }),
    })
  ).stdout.trim()
}
async function visible(run: string): Promise<string[]> {
  return (await fleet.troupe(['logs', run, '--raw', '--stream', 'stdout'])).stdout.trim().split(',')
}

test('several GPUs a worker: leases never overlap, what does not fit waits with both numbers, and freed ones come back [A-19 A-04 +A7 +U7]', async () => {
  const script = 'echo $CUDA_VISIBLE_DEVICES; sleep 600'
  const first = await launch('three', 3, script)
  const second = await launch('four', 4, script)
  for (const run of [first, second])
    expect((await fleet.troupe(['wait', run, '--for', 'running', '--timeout', '20s'])).code).toBe(0)
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
  const refused = await fleet.troupe(['launch', '-f', '-'], {
    input: task('nine', ['true'], { resources: { gpus: 9 } }),
  })
  expect(refused.code).toBe(2)
  expect(refused.stderr).toMatch(/9\D.*8|8\D.*9/s)
})

test('more agents come to the machine: none gives out a GPU that another has given, over the death of an agent too [A-19 +A7]', async () => {
  const on = async (node: string, gpus: number): Promise<string> =>
    (
      await fleet.troupe(['launch', '-q', '-f', '-'], {
        input: task('on', ['sh', '-c', 'echo $CUDA_VISIBLE_DEVICES; sleep 600'], {
          nodelist: [node],
          resources: { gpus },
        }),
      })
    ).stdout.trim()
  const held = (run: string) =>
    until(`${run} has told what it sees`, async () => ((await visible(run)).length > 1 ? visible(run) : null))
  const first = await on('n0', 3)
  await held(first)
  await fleet.repair(2)
  const third = fleet.start(['agent', '--node', 'third'])
  const seen = await until('all three are there', async () => {
    const nodes: { node: string; state: string; gpus: number; gpusSharedWith?: string[] }[] =
      await fleet.json(['nodes'])
    return nodes.filter(({ state, gpusSharedWith }) => state === 'ready' && gpusSharedWith?.length === 2)
      .length === 3
      ? nodes
      : null
  })
  expect(seen.map(({ node, gpus, gpusSharedWith }) => [node, gpus, gpusSharedWith])).toEqual([
    ['n0', 8, ['n1', 'third']],
    ['n1', 8, ['n0', 'third']],
    ['third', 8, ['n0', 'n1']],
  ])
  const second = await on('n1', 2)
  const last = await on('third', 2)
  const given = [await held(first), await held(second), await held(last)].flat()
  expect(new Set(given).size).toBe(7)
  const waits = await on('n1', 4)
  expect(await fleet.json(['status', waits])).toMatchObject({
    state: 'pending',
    reason: expect.stringMatching(/4 GPUs .* 1 GPU free/),
  })
  // its worker lives on, and with it its lease
  process.kill(fleet.info.pids.agents['n0']!, 'SIGKILL')
  await fleet.troupe(['kill', last])
  expect((await fleet.json(['status', waits])).state).toBe('pending')
  await fleet.repair(2)
  await fleet.troupe(['kill', first])
  expect(await held(waits)).toHaveLength(4)
  const two = await held(second)
  for (const gpu of await held(waits)) expect(two).not.toContain(gpu)
  for (const run of [second, waits]) await fleet.troupe(['kill', run])
  third.kill('SIGTERM')
}, 90_000)
