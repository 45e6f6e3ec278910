/**
 * Which GPUs this agent may give away: the scheduler's binding first, else what nvidia-smi lists, else none.
 * Never throws: a device that nvidia-smi does not name is not given away, and the node says why.
 *
 * Ids are what goes into CUDA_VISIBLE_DEVICES of a worker: of a binding the very words (indices, GPU and MIG
 * UUIDs), else nvidia-smi's index, and the UUID for a MIG device. A GPU in MIG mode is not given away itself,
 * only its instances.
 */
import type { Gpu } from '../protocol/shapes.ts'
import { tryProgram, type RunFailure } from '../system/run.ts'

/**
 * Runs a program found on PATH and gives all that it said, also before it failed or took too long. `failed`
 * is null when it ended with 0, and when there is no such program: no driver is no trouble.
 */
export type ReadProgram = (argv: readonly string[]) => Promise<{ stdout: string; failed: string | null }>

/** nvidia-smi answers in a second or two, and hangs when the driver does. */
const PROGRAM_TIMEOUT_MS = 10_000

/** @param env  of the program: its PATH decides which is asked */
export function readerWith(env: Record<string, string>, timeoutMs = PROGRAM_TIMEOUT_MS): ReadProgram {
  return async (argv) => {
    const ended = tryProgram(argv, { env, timeoutMs }).then(({ stdout, fault }) => {
      const missing = fault !== null && (fault.data['reason'] as RunFailure) === 'not-started'
      return { stdout, failed: missing ? null : (fault?.message ?? null) }
    })
    // a program that waits for a broken driver in the kernel cannot be killed, and is not waited for
    const stuck = new Promise<Awaited<ReturnType<ReadProgram>>>((resolve) =>
      setTimeout(
        () => resolve({ stdout: '', failed: `'${argv[0]}' does not end, not even by SIGKILL` }),
        timeoutMs + 1000,
      ).unref(),
    )
    return Promise.race([ended, stuck])
  }
}

export interface FoundGpus {
  gpus: Gpu[]
  /** why there may be fewer than there are, in one line; null: nothing went wrong */
  trouble: string | null
}

export async function readGpus(
  env: Record<string, string | undefined>,
  run: ReadProgram,
): Promise<FoundGpus> {
  const binding = readBinding(env)
  if (binding !== null && binding.ids.length === 0) return { gpus: [], trouble: null }
  const { devices, trouble } = await listDevices(run)
  if (binding === null)
    return {
      gpus: devices
        .filter((device) => device.leasable)
        .map(({ id, name, memoryBytes, uuid }) => ({ id, name, memoryBytes, uuid })),
      trouble,
    }
  const gpus = binding.ids.map((id) => {
    const fits = devices.filter(
      (d) => d.id === id || d.uuid === id || (IS_UUID.test(id) && d.uuid.startsWith(id)),
    )
    return { id, device: fits.length === 1 ? fits[0]! : null }
  })
  // with a list at hand it is known which words are no device: CUDA stops there
  const end = gpus.findIndex(({ device }) => device === null)
  const seen =
    devices.length === 0 || !binding.ofCuda || end < 0
      ? gpus
      : trouble === null
        ? gpus.slice(0, end)
        : gpus.filter(({ device }) => device !== null)
  return {
    gpus: seen.map(({ id, device }) => {
      const uuid = device?.uuid ?? (WHOLE_UUID.test(id) ? id : undefined)
      return {
        id,
        name: device?.name ?? 'GPU',
        memoryBytes: device?.memoryBytes ?? null,
        ...(uuid !== undefined && { uuid }),
      }
    }),
    trouble,
  }
}

/** CUDA takes abbreviations too. */
const WHOLE_UUID = /^(GPU|MIG)-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/
const IS_UUID = /^(GPU|MIG)-./

interface Binding {
  ids: string[]
  /** CUDA_VISIBLE_DEVICES, which CUDA itself reads by the same rules */
  ofCuda: boolean
}

/** @returns the ids that a scheduler bound this process to; null when none did */
function readBinding(env: Record<string, string | undefined>): Binding | null {
  const visible = env['CUDA_VISIBLE_DEVICES']
  if (visible !== undefined) return { ids: cudaWords(visible), ofCuda: true }
  const bound = env['SLURM_STEP_GPUS'] ?? env['SLURM_JOB_GPUS']
  return bound === undefined ? null : { ids: slurmWords(bound), ofCuda: false }
}

/**
 * As CUDA (and torch) read it: the first word that is no device ends the list, so an empty text is none; of a
 * word that begins with digits only these count; a device that is named twice makes all of them invisible.
 */
function cudaWords(text: string): string[] {
  const ids: string[] = []
  for (const word of text.split(',').map((w) => w.trim())) {
    const index = /^\+?(\d{1,9})/.exec(word)?.[1]
    if (index !== undefined) ids.push(String(Number(index)))
    else if (IS_UUID.test(word)) ids.push(word)
    else break
  }
  return new Set(ids).size === ids.length ? ids : []
}

/** `4-7,1`; NoDevFiles is Slurm's word for none. */
function slurmWords(text: string): string[] {
  const ids = text
    .split(',')
    .map((word) => word.trim())
    .filter((word) => word !== '' && word !== 'NoDevFiles' && word !== 'none')
    .flatMap((word) => {
      const [, from, to] = /^(\d+)-(\d+)$/.exec(word) ?? []
      if (from === undefined) return [word]
      const count = Math.max(0, Math.min(Number(to) - Number(from) + 1, 1024))
      return Array.from({ length: count }, (_, i) => String(Number(from) + i))
    })
  return [...new Set(ids)]
}

interface Device extends Gpu {
  uuid: string
  leasable: boolean
}

async function listDevices(run: ReadProgram): Promise<{ devices: Device[]; trouble: string | null }> {
  const [list, query] = await Promise.all([
    run(['nvidia-smi', '-L']),
    // what it fails to say is unknown, and costs no device: old drivers know no MIG
    run(['nvidia-smi', '--query-gpu=index,memory.total,mig.mode.current', '--format=csv,noheader,nounits']),
  ])
  return { devices: parseDevices(list.stdout, query.stdout), trouble: troubleOf(list) }
}

const DEVICE_LINE = /^GPU (\d+): (.+) \(UUID: (GPU-[^)]+)\)/
const MIG_LINE = /^\s+MIG (\S+)\s+Device\s+\d+: \(UUID: (MIG-[^)]+)\)/
const TROUBLE_CHARS_MAX = 300

/** A line that names no device says best what is wrong, whatever the exit. That there is none is no fault. */
function troubleOf({ stdout, failed }: { stdout: string; failed: string | null }): string | null {
  const strange = stdout
    .split('\n')
    .map((line) => line.trimEnd())
    .find((line) => line !== '' && !DEVICE_LINE.test(line) && !MIG_LINE.test(line))
  if (strange !== undefined && /^No devices (were )?found/i.test(strange)) return null
  const text = strange === undefined ? failed : `nvidia-smi: ${strange.trim()}`
  return text === null ? null : `GPUs may be missing: ${text}`.slice(0, TROUBLE_CHARS_MAX)
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
    const gpu = DEVICE_LINE.exec(line)
    const mig = MIG_LINE.exec(line)
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
