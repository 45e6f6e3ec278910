import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { readerWith, readGpus, type ReadProgram } from '../../../src/process/gpus.ts'

const answers = fileURLToPath(new URL('../../support/nvidia-smi/', import.meta.url))
/** `nvidia-smi` on PATH is the program that replays the answers of one folder. */
function on(folder: string): ReadProgram {
  const env = { PATH: `${answers}${folder}:/usr/bin:/bin` }
  return readerWith(env)
}
let bin: string
beforeAll(async () => void (bin = await mkdtemp(join(tmpdir(), 'troupe-gpus-'))))
afterAll(() => rm(bin, { recursive: true }))
/** nvidia-smi is this text, run by sh. */
async function playing(script: string, timeoutMs?: number): Promise<ReadProgram> {
  await writeFile(join(bin, 'nvidia-smi'), `#!/bin/sh\n${script}\n`, { mode: 0o755 })
  return readerWith({ PATH: `${bin}:/usr/bin:/bin` }, timeoutMs)
}
const nothing: ReadProgram = async () => ({ stdout: '', failed: null })
const onOldDriver: ReadProgram = (argv) =>
  argv[1] === '-L'
    ? on('plain')(argv)
    : Promise.resolve({ stdout: '', failed: 'Field "mig.mode.current" is not a valid field to query.' })
async function ids(env: Record<string, string>, run: ReadProgram = nothing): Promise<string[]> {
  return (await readGpus(env, run)).gpus.map(({ id }) => id)
}

test('nvidia-smi, replaying answers in the published form of 8 whole GPUs, gives their indices, names and memory [A-19]', async () => {
  const { gpus } = await readGpus({}, on('plain'))
  expect(gpus.map(({ id }) => id)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7'])
  expect(gpus[7]).toMatchObject({ id: '7', name: 'NVIDIA A100-SXM4-80GB', memoryBytes: 80 * 2 ** 30 })
})

test('nvidia-smi, replaying answers in the published form of a node with MIG, gives instances by UUID and whole GPUs, not cut-up ones [A-19]', async () => {
  expect((await readGpus({}, on('mig'))).gpus).toMatchObject([
    { id: '0', name: 'NVIDIA A100-SXM4-40GB', memoryBytes: 40 * 2 ** 30 },
    {
      id: 'MIG-6b4cb242-4a23-d596-2217-beaddbc496cb',
      name: 'NVIDIA A100-SXM4-40GB MIG 3g.20gb',
      memoryBytes: 20 * 2 ** 30,
    },
    {
      id: 'MIG-92276658-1e27-a1c0-8a6a-63ec24ede6a4',
      name: 'NVIDIA A100-SXM4-40GB MIG 3g.20gb',
      memoryBytes: 20 * 2 ** 30,
    },
    {
      id: 'MIG-923a7369-94e3-bf91-1a61-dbe22e44158b',
      name: 'NVIDIA A100-SXM4-40GB MIG 1g.5gb',
      memoryBytes: 5 * 2 ** 30,
    },
    {
      id: 'MIG-18f135d2-5f55-7203-3018-50c5a38fd547',
      name: 'NVIDIA A100-SXM4-40GB MIG 1c.2g.10gb',
      memoryBytes: 10 * 2 ** 30,
    },
  ])
})

test('no devices, a driver that does not answer (both in the published form, replayed) and no nvidia-smi all mean no GPUs, never an error [A-19]', async () => {
  for (const run of [on('none'), on('broken-driver'), nothing])
    expect((await readGpus({}, run)).gpus).toEqual([])
})

test('a driver too old to know MIG still lists its GPUs, with their memory unknown (list in the published form, replayed) [A-19]', async () => {
  expect((await readGpus({}, onOldDriver)).gpus.map(({ memoryBytes }) => memoryBytes)).toEqual(
    Array(8).fill(null),
  )
})

test('the scheduler’s binding comes before what the node has, in its own words [A-19 +A12]', async () => {
  expect(await ids({ CUDA_VISIBLE_DEVICES: '2,3' }, on('plain'))).toEqual(['2', '3'])
  expect(await ids({ CUDA_VISIBLE_DEVICES: 'GPU-abc, MIG-5f1e' })).toEqual(['GPU-abc', 'MIG-5f1e'])
  expect(await ids({ CUDA_VISIBLE_DEVICES: '0,1', SLURM_STEP_GPUS: '4,5', SLURM_JOB_GPUS: '4-7' })).toEqual([
    '0',
    '1',
  ])
  expect(await ids({ SLURM_STEP_GPUS: '4,5', SLURM_JOB_GPUS: '4-7' })).toEqual(['4', '5'])
  expect(await ids({ SLURM_JOB_GPUS: '4-6,1' })).toEqual(['4', '5', '6', '1'])
})

test('a bound MIG UUID is told with the name and memory that the replayed answers in the published form know of it [A-19]', async () => {
  const [bound] = (
    await readGpus({ CUDA_VISIBLE_DEVICES: 'MIG-923a7369-94e3-bf91-1a61-dbe22e44158b' }, on('mig'))
  ).gpus
  expect(bound).toMatchObject({
    id: 'MIG-923a7369-94e3-bf91-1a61-dbe22e44158b',
    name: 'NVIDIA A100-SXM4-40GB MIG 1g.5gb',
    memoryBytes: 5 * 2 ** 30,
  })
})

test('an empty binding, Slurm’s NoDevFiles and -1 mean no GPUs, although the node has eight (replayed answers in the published form) [A-19]', async () => {
  for (const value of ['', 'NoDevFiles', '-1', ' '])
    expect(await ids({ CUDA_VISIBLE_DEVICES: value }, on('plain')), value).toEqual([])
  expect(await ids({ CUDA_VISIBLE_DEVICES: '1,-1,2' }, on('plain'))).toEqual(['1'])
})

test('a device is named by its UUID, however it is bound; a number that nobody can look up names none (replayed answers) [A-19]', async () => {
  const uuids = async (env: Record<string, string>, run?: ReadProgram) =>
    (await readGpus(env, run ?? nothing)).gpus.map(({ uuid }) => uuid)
  const all = await uuids({}, on('plain'))
  expect(new Set(all).size).toBe(8)
  expect(await uuids({ CUDA_VISIBLE_DEVICES: `2,${all[3]},${all[4]!.slice(0, 12)}` }, on('plain'))).toEqual(
    all.slice(2, 5),
  )
  expect(await uuids({ CUDA_VISIBLE_DEVICES: `2,${all[3]},${all[4]!.slice(0, 12)}` })).toEqual([
    undefined,
    all[3],
    undefined,
  ])
  expect((await uuids({}, on('mig')))[1]).toBe('MIG-6b4cb242-4a23-d596-2217-beaddbc496cb')
})

function line(n: number): string {
  return `GPU ${n}: NVIDIA A100-SXM4-80GB (UUID: GPU-11111111-1111-1111-1111-11111111111${n})`
}
const LOST = 'Unable to determine the device handle for gpu 0000:09:00.0: GPU is lost.  Reboot the system'

test.each([
  [
    'one GPU of four is lost, exit 15',
    [line(0), line(1), LOST, line(3)],
    'exit 15',
    ['0', '1', '3'],
    'GPU is lost',
  ],
  ['the line of a lost one, exit 0', [line(0), LOST], 'exit 0', ['0'], 'GPU is lost'],
  ['a good list, exit 1', [line(0), line(1)], 'exit 1', ['0', '1'], 'exit code 1'],
  ['it dies after half of its list', [line(0)], 'kill -SEGV $$', ['0'], 'SIGSEGV'],
  ['it hangs after half of its list', [line(0)], 'sleep 300', ['0'], 'did not end within 300 ms'],
  ['it hangs', [], 'sleep 300', [], 'did not end within 300 ms'],
  [
    'it cannot reach the driver',
    ["NVIDIA-SMI has failed because it couldn't reach the driver."],
    'exit 9',
    [],
    'reach the driver',
  ],
])('%s: what it named is given away, and the node says why', async (_, lines, end, given, why) => {
  const run = await playing(`cat <<'X'\n${lines.join('\n')}\nX\n${end}`, 300)
  const { gpus, trouble } = await readGpus({}, run)
  expect(gpus.map(({ id }) => id)).toEqual(given)
  expect(trouble).toContain(why)
})

test('no nvidia-smi, one that finds no device, and a good list are no trouble', async () => {
  for (const run of [nothing, on('none'), on('plain'), on('mig'), readerWith({ PATH: '/nowhere' })])
    expect((await readGpus({}, run)).trouble).toBeNull()
})

test.each([
  ['an index beyond the devices ends the list', '1,8,2', ['1']],
  ['an entry that is empty ends it', '0,,1', ['0']],
  ['a word ends it', '3,two,1', ['3']],
  ['of a word that begins with digits these count', '1gpu2,2ampere', ['1', '2']],
  ['a range is Slurm’s word, not CUDA’s', '0-3', ['0']],
  ['spaces do not count, nor do a plus and zeros in front', ' 1 , +02', ['1', '2']],
  ['a device that is named twice hides all', '1,2,1', []],
  ['a UUID that is not there ends it', `GPU-00000000-0000-0000-0000-000000000000,1`, []],
  ['an abbreviation that fits several ends it', '1,GPU-', ['1']],
  ['MIG instances are devices', 'MIG-923a7369-94e3-bf91-1a61-dbe22e44158b', []],
])('CUDA_VISIBLE_DEVICES is read as CUDA reads it: %s', async (_, visible, given) => {
  expect(await ids({ CUDA_VISIBLE_DEVICES: visible }, on('plain'))).toEqual(given)
})

test('CUDA_VISIBLE_DEVICES names a lost device: that one is left out, and the others stay', async () => {
  const run = await playing(`cat <<'X'\n${[line(0), LOST, line(2)].join('\n')}\nX\nexit 15`)
  expect(await ids({ CUDA_VISIBLE_DEVICES: '0,1,2' }, run)).toEqual(['0', '2'])
})
