/**
 * Which GPUs this agent may give away: the scheduler's binding first, else what nvidia-smi lists, else none.
 * Never throws: a node whose driver is broken is a node without GPUs.
 *
 * Ids are what goes into CUDA_VISIBLE_DEVICES of a worker: of a binding the very words (indices, GPU and MIG
 * UUIDs), else nvidia-smi's index, and the UUID for a MIG device. A GPU in MIG mode is not given away itself,
 * only its instances.
 */
import type { Gpu } from '../protocol/shapes.ts'

/**
 * Runs a program found on PATH and gives its stdout; rejects when there is none, it fails or it takes too
 * long.
 */
export type ReadProgram = (argv: readonly string[]) => Promise<string>

export async function readGpus(env: Record<string, string | undefined>, run: ReadProgram): Promise<Gpu[]> {
  const bound = readBinding(env)
  if (bound !== null && bound.length === 0) return []
  const listed = await listDevices(run)
  if (bound === null)
    return listed
      .filter((device) => device.leasable)
      .map(({ id, name, memoryBytes, uuid }) => ({ id, name, memoryBytes, uuid }))
  return bound.map((id) => {
    const device = listed.find(
      (d) => d.id === id || d.uuid === id || (/^(GPU|MIG)-/.test(id) && d.uuid.startsWith(id)),
    )
    const uuid = device?.uuid ?? (WHOLE_UUID.test(id) ? id : undefined)
    return {
      id,
      name: device?.name ?? 'GPU',
      memoryBytes: device?.memoryBytes ?? null,
      ...(uuid !== undefined && { uuid }),
    }
  })
}

/** CUDA takes abbreviations too. */
const WHOLE_UUID = /^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/

/** @returns the ids that a scheduler bound this process to; null when none did */
function readBinding(env: Record<string, string | undefined>): string[] | null {
  const text = env['CUDA_VISIBLE_DEVICES'] ?? env['SLURM_STEP_GPUS'] ?? env['SLURM_JOB_GPUS']
  if (text === undefined) return null
  const ids: string[] = []
  for (const word of text
    .split(',')
    .map((w) => w.trim())
    .filter((w) => w !== '')) {
    // CUDA itself stops at the first word that is no device; NoDevFiles is Slurm's word for none
    if (word === 'NoDevFiles' || word === 'none' || /^-\d+$/.test(word)) break
    const range = /^(\d+)-(\d+)$/.exec(word)
    if (range)
      for (let i = Number(range[1]); i <= Math.min(Number(range[2]), Number(range[1]) + 1023); i++)
        ids.push(String(i))
    else ids.push(word)
  }
  return [...new Set(ids)]
}

interface Device extends Gpu {
  uuid: string
  leasable: boolean
}

async function listDevices(run: ReadProgram): Promise<Device[]> {
  const [list, query] = await Promise.all([
    run(['nvidia-smi', '-L']).catch(() => ''),
    run([
      'nvidia-smi',
      '--query-gpu=index,memory.total,mig.mode.current',
      '--format=csv,noheader,nounits',
    ]).catch(() => ''),
  ])
  return parseDevices(list, query)
}

/**
 * @param list answer of `nvidia-smi -L`: GPUs, each followed by its MIG devices
 * @param query answer of `--query-gpu=index,memory.total,mig.mode.current` without header and units (MiB);
 * may be empty (old drivers know no MIG)
 */
function parseDevices(list: string, query: string): Device[] {
  const rows = new Map(
    query
      .split('\n')
      .map((line) => line.split(',').map((field) => field.trim()))
      .map(([index, memory, mig]) => [index, { memory, mig }]),
  )
  const devices: Device[] = []
  for (const line of list.split('\n')) {
    const gpu = /^GPU (\d+): (.+) \(UUID: (GPU-[^)]+)\)/.exec(line)
    const mig = /^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)/.exec(line)
    if (gpu) {
      const row = rows.get(gpu[1]!)
      const mebibytes = Number(row?.memory)
      devices.push({
        id: gpu[1]!,
        name: gpu[2]!,
        memoryBytes: mebibytes > 0 ? mebibytes * 2 ** 20 : null,
        uuid: gpu[3]!,
        leasable: row?.mig !== 'Enabled',
      })
    } else if (mig) {
      const parent = devices.findLast((d) => d.uuid.startsWith('GPU-'))
      if (parent !== undefined) parent.leasable = false
      const gigabytes = Number(/\.(\d+)gb/.exec(mig[1]!)?.[1])
      devices.push({
        id: mig[2]!,
        name: `${parent?.name ?? 'GPU'} MIG ${mig[1]}`,
        memoryBytes: gigabytes > 0 ? gigabytes * 2 ** 30 : null,
        uuid: mig[2]!,
        leasable: true,
      })
    }
  }
  return devices
}
