/**
 * The environment of a worker: the user's spec over the caller's (what its launch took along from the shell
 * that launched) over the agent's environment over defaults, and over all of it the facts that only Troupe
 * knows (TROUPE_…). Values may hold anything but NUL. Pure.
 *
 * What a worker does not inherit: the agent's own settings and credentials (TROUPE_*, NATS_*, anything that
 * looks like an NKey seed), and the place of the agent, or of the caller, in another job (outer-job.ts).
 *
 * CUDA_VISIBLE_DEVICES is always set: the leased GPUs, or empty when none is leased, so that a worker that
 * reserved nothing cannot use what another one reserved. A value in the user's spec wins over that too.
 */
import { join, resolve } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import type { Bindings, ForkSpec } from '../protocol/launch/resolved.ts'
import { fillTemplate } from '../protocol/launch/templates.ts'
import type { Prepared } from '../protocol/host.ts'
import { SHUTDOWN_TIMEOUT, shutdownSeconds } from '../protocol/shutdown-timeout.ts'
import { programPath } from '../system/program-path.ts'
import { isOfOuterJob } from './outer-job.ts'

export interface EnvironmentInput {
  spec: ForkSpec
  prepared: Prepared
  bindings: Bindings
  node: string
  agentEnv: Readonly<Record<string, string | undefined>>
  /** per node: compiled kernels are of this machine's hardware */
  cacheDir: string
  nodeCores: number
  /** with this one; divides the cores when none are leased */
  workersOnNode: number
  /** where torch writes the root cause; torchrun only */
  errorFile?: string | null
}

/** @throws {Fault} WORKER_CONFIG for a name or value that no environment can hold, or an unknown template */
export function buildEnvironment(input: EnvironmentInput): Record<string, string> {
  const { spec, prepared, bindings, node } = input
  const context = {
    ports: prepared.ports,
    host: prepared.host,
    index: spec.index,
    attempt: spec.attempt,
    node,
    run: spec.run,
    roles: bindings.roles,
  }
  const inherited = inheritable(withCaller(input.agentEnv, spec.callerEnv), spec)
  const asked = Object.fromEntries(
    Object.entries(spec.env).map(([name, value]) => [name, fillTemplate(value, context)]),
  )
  const cwd = spec.cwd ?? input.agentEnv['HOME'] ?? '/'
  const environment: Record<string, string> = {
    ...defaultsOf(input),
    ...inherited,
    ...(spec.network !== null && socketsOf(input)),
    PWD: cwd,
    CUDA_VISIBLE_DEVICES: prepared.gpus.join(','),
    ...asked,
    ...programPath(spec, cwd, asked['PATH'] ?? inherited['PATH']),
    PYTHONPATH: pythonPath(spec, cwd, asked['PYTHONPATH'], inherited['PYTHONPATH']),
    ...factsOf(input),
    ...(spec.torchrun !== null && shutdownTimeout(spec, asked)),
  }
  for (const [name, value] of Object.entries(environment)) check(name, value)
  return environment
}

const THREAD_VARIABLES = [
  'OMP_NUM_THREADS',
  'MKL_NUM_THREADS',
  'OPENBLAS_NUM_THREADS',
  'NUMEXPR_NUM_THREADS',
  'VECLIB_MAXIMUM_THREADS',
]

function defaultsOf(input: EnvironmentInput): Record<string, string> {
  const { spec, prepared, cacheDir, nodeCores, workersOnNode } = input
  const cores = prepared.cores.length > 0 ? prepared.cores.length : nodeCores / Math.max(1, workersOnNode)
  // a torchrun worker is one process per rank, and they compute at the same time
  const threads = String(Math.max(1, Math.floor(cores / (spec.torchrun?.nproc ?? 1))))
  return {
    ...Object.fromEntries(THREAD_VARIABLES.map((name) => [name, threads])),
    TOKENIZERS_PARALLELISM: 'true',
    PYTORCH_KERNEL_CACHE_PATH: join(cacheDir, 'pytorch-kernels'),
    TRITON_CACHE_DIR: join(cacheDir, 'triton'),
    VLLM_CACHE_ROOT: join(cacheDir, 'vllm'),
    CUDA_DEVICE_MAX_CONNECTIONS: '1',
    // nvidia-smi counts in this order; CUDA's own default counts the fastest first
    CUDA_DEVICE_ORDER: 'PCI_BUS_ID',
    ...socketsOf(input),
    // output goes to files, where Python would hold back 8 KiB of it
    PYTHONUNBUFFERED: '1',
  }
}

/**
 * Gloo and TensorPipe take the address of the machine's host name, which may be loopback or another
 * network's. NCCL looks for interfaces itself, and knows better unless a role names one.
 */
function socketsOf({ spec, prepared }: EnvironmentInput): Record<string, string> {
  const { interface: name } = prepared
  if (name === undefined) return {}
  return {
    GLOO_SOCKET_IFNAME: name,
    TP_SOCKET_IFNAME: name,
    ...(spec.network !== null && { NCCL_SOCKET_IFNAME: `=${name}` }),
  }
}

/** A virtual environment belongs to the PATH that names it: the agent's does not stay beside the caller's. */
const OF_A_PATH = ['VIRTUAL_ENV', 'CONDA_PREFIX']

function withCaller(
  agentEnv: EnvironmentInput['agentEnv'],
  callerEnv: ForkSpec['callerEnv'],
): EnvironmentInput['agentEnv'] {
  if (callerEnv === undefined) return agentEnv
  const others = Object.entries(agentEnv).filter(
    ([name]) => callerEnv['PATH'] === undefined || !OF_A_PATH.includes(name),
  )
  return { ...Object.fromEntries(others), ...callerEnv }
}

function pythonPath(
  spec: ForkSpec,
  cwd: string,
  asked: string | undefined,
  inherited: string | undefined,
): string {
  const own =
    spec.pythonPath.length > 0
      ? spec.pythonPath.map((path) => resolve(cwd, path))
      : asked === undefined
        ? [cwd]
        : []
  const rest = asked ?? inherited
  return [...own, ...(rest ? [rest] : [])].join(':')
}

function factsOf({ spec, prepared, bindings, node, errorFile }: EnvironmentInput): Record<string, string> {
  return {
    TROUPE_RUN: spec.run,
    TROUPE_ROLE: spec.role,
    TROUPE_INDEX: String(spec.index),
    TROUPE_ATTEMPT: String(spec.attempt),
    TROUPE_FORK_ID: spec.forkId,
    TROUPE_NODE: node,
    ...Object.fromEntries(prepared.ports.map((port, i) => [`TROUPE_PORT_${i}`, String(port)])),
    ...Object.fromEntries(
      Object.entries(bindings.roles).flatMap(([role, { addr }]) =>
        addr === null ? [] : [[`TROUPE_ADDR_${role.toUpperCase().replaceAll('-', '_')}`, addr]],
      ),
    ),
    ...(spec.torchrun !== null && errorFile ? { TORCHELASTIC_ERROR_FILE: errorFile } : {}),
  }
}

/**
 * torchrun sends SIGKILL to its ranks so long after it was told to stop, by itself after 30 s: the grace is
 * ours to end. A longer time in the user's spec stands, a shorter one would cut the grace.
 */
function shutdownTimeout({ stop }: ForkSpec, asked: Record<string, string>): Record<string, string> {
  const seconds = shutdownSeconds(stop.graceMs)
  const own = asked[SHUTDOWN_TIMEOUT] ?? ''
  return { [SHUTDOWN_TIMEOUT]: /^\d{1,9}$/.test(own) && Number(own) > seconds ? own : String(seconds) }
}

const NKEY_SEED = /(^|[^A-Z2-7])S[UAOCNXP][A-Z2-7]{56}([^A-Z2-7]|$)/

function inheritable(agentEnv: EnvironmentInput['agentEnv'], { venv }: ForkSpec): Record<string, string> {
  const kept: Record<string, string> = {}
  for (const [name, value] of Object.entries(agentEnv)) {
    if (value === undefined || /^(TROUPE|NATS)_/.test(name) || NKEY_SEED.test(value)) continue
    if (isOfOuterJob(name)) continue
    // `activate` unsets it as well: with it a Python does not find what is its own
    if (name === 'PYTHONHOME' && venv !== undefined) continue
    kept[name] = value
  }
  return kept
}

function check(name: string, value: string): void {
  if (name === '' || /[=\0]/.test(name))
    throw new Fault(
      'WORKER_CONFIG',
      `'${name.replaceAll('\0', '\\0')}' cannot be the name of an environment variable`,
      { data: { name } },
    )
  if (value.includes('\0'))
    throw new Fault('WORKER_CONFIG', `the value of ${name} holds a NUL byte, which no environment can`, {
      data: { name },
    })
}
