import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { readGpus, type ReadProgram } from '../../../src/process/gpus.ts'
import { runProgram } from '../../../src/system/run.ts'

const answers = fileURLToPath(new URL('../../support/nvidia-smi/', import.meta.url))
/** `nvidia-smi` on PATH is the program that replays the answers of one folder. */
function on(folder: string): ReadProgram {
  const env = { PATH: `${answers}${folder}:/usr/bin:/bin` }
  return async (argv) => (await runProgram(argv, { env, timeoutMs: 10_000 })).stdout
}
const nothing: ReadProgram = () => Promise.reject(new Error('spawn nvidia-smi ENOENT'))
const onOldDriver: ReadProgram = (argv) =>
  argv[1] === '-L'
    ? on('plain')(argv)
    : Promise.reject(new Error('Field "mig.mode.current" is not a valid field to query.'))
async function ids(env: Record<string, string>, run: ReadProgram = nothing): Promise<string[]> {
  return (await readGpus(env, run)).map(({ id }) => id)
}

test('nvidia-smi, replaying answers in the published form of 8 whole GPUs, gives their indices, names and memory [A-19]', async () => {
  const gpus = await readGpus({}, on('plain'))
  expect(gpus.map(({ id }) => id)).toEqual(['0', '1', '2', '3', '4', '5', '6', '7'])
  expect(gpus[7]).toMatchObject({ id: '7', name: 'NVIDIA A100-SXM4-80GB', memoryBytes: 80 * 2 ** 30 })
})

test('nvidia-smi, replaying answers in the published form of a node with MIG, gives instances by UUID and whole GPUs, not cut-up ones [A-19]', async () => {
  expect(await readGpus({}, on('mig'))).toMatchObject([
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
  for (const run of [on('none'), on('broken-driver'), nothing]) expect(await readGpus({}, run)).toEqual([])
})

test('a driver too old to know MIG still lists its GPUs, with their memory unknown (list in the published form, replayed) [A-19]', async () => {
  expect((await readGpus({}, onOldDriver)).map(({ memoryBytes }) => memoryBytes)).toEqual(Array(8).fill(null))
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
  const [bound] = await readGpus(
    { CUDA_VISIBLE_DEVICES: 'MIG-923a7369-94e3-bf91-1a61-dbe22e44158b' },
    on('mig'),
  )
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
    (await readGpus(env, run ?? nothing)).map(({ uuid }) => uuid)
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
