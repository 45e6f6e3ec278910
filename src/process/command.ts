/**
 * The argv of a worker: templates filled in, torchrun around it, prefix and set-up before it. Nothing is ever
 * spliced into a shell's text. Pure.
 */
import type { Bindings, ForkSpec } from '../protocol/launch/resolved.ts'
import { formatHostPort } from '../protocol/hostport.ts'
import { fillTemplate } from '../protocol/launch/templates.ts'
import { Fault } from '../protocol/faults.ts'
import type { Prepared } from '../protocol/host.ts'
import { SET_UP } from './set-up.ts'

export interface CommandInput {
  spec: ForkSpec
  prepared: Prepared
  bindings: Bindings
  node: string
  /** argv in front of each rank's command (the shim that records its exit); torchrun only */
  rankShim: readonly string[]
  /**
   * torchrun's own files; a directory of the fork, since without one torch leaves `torchelastic_*` in the
   * temp dir
   */
  torchLogDir: string
  /** tells how far the set-up came (set-up.ts) */
  setUpFile: string
  /**
   * interpreter that has torch (torch-python.ts); null: `torchrun` and `python` are on the worker's PATH
   */
  python: string | null
}

/** @throws {Fault} WORKER_CONFIG for an unknown template or a torchrun worker without a rendezvous */
export function buildCommand(input: CommandInput): string[] {
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
  const fill = (text: string): string => fillTemplate(text, context)
  const asked = spec.command.map(fill)
  const command = spec.shell ? ['bash', '-c', ...asked] : asked
  const prefixed = [
    ...spec.prefix.map(fill),
    ...(spec.torchrun === null ? command : torchrun(input, spec.torchrun, command)),
  ]
  return spec.setup === null
    ? prefixed
    : ['bash', '-c', SET_UP, 'troupe', spec.setup, input.setUpFile, ...prefixed]
}

function torchrun(
  { spec, prepared, bindings, rankShim, torchLogDir, python }: CommandInput,
  shape: NonNullable<ForkSpec['torchrun']>,
  command: string[],
): string[] {
  if (bindings.rendezvous === null) throw new Fault('WORKER_CONFIG', `${spec.forkId} has no rendezvous`)
  const { host, port } = bindings.rendezvous
  const rendezvous: Record<string, string> = shape.nnodes.includes(':')
    ? {
        'rdzv-backend': 'c10d',
        'rdzv-endpoint': formatHostPort(host, port),
        'rdzv-id': `${spec.run}.${spec.role}.${spec.attempt}`,
        // torch guesses who hosts the store by comparing host names, and is wrong with two nodes on one
        // machine
        'rdzv-conf': `is_host=${shape.hostsRendezvous ? 1 : 0}`,
        // else MASTER_ADDR becomes a host name, which nobody need resolve
        'local-addr': prepared.host,
      }
    : {
        'node-rank': String(shape.nodeRank),
        'master-addr': host.includes(':') ? `[${host}]` : host,
        'master-port': String(port),
      }
  const options: Record<string, string> = {
    nnodes: shape.nnodes,
    'nproc-per-node': String(shape.nproc),
    ...rendezvous,
    // restarts are Troupe's; the interval is how late torch sees a dead rank
    'max-restarts': '0',
    'monitor-interval': '0.1',
    'log-dir': torchLogDir,
  }
  const launcher =
    python !== null
      ? [python, '-m', 'torch.distributed.run']
      : spec.setup !== null || spec.prefix.length > 0
        ? ['sh', '-c', TORCHRUN, 'torchrun']
        : ['torchrun']
  const flags = Object.entries(options).flatMap(([name, value]) => [`--${name}`, value])
  return [...launcher, ...flags, '--no-python', ...rankShim, ...rankCommand(spec, command, python)]
}

/**
 * torchrun where only a set-up or a prefix knows PATH: the script `torchrun` beside `python`. An environment
 * that has torch from another one has none; then `python -m`, not the script of another Python. It gets its
 * argv as `"$@"`, and is replaced by torchrun.
 */
const TORCHRUN = [
  'troupe_run=$(command -v torchrun)',
  'troupe_python=$(command -v python || command -v python3)',
  'if [ "${troupe_run%/*}" != "${troupe_python%/*}" ] && [ -n "$troupe_python" ] &&' +
    ` { [ -z "$troupe_run" ] || "$troupe_python" -c 'from importlib.util import find_spec as f; exit(f("torch") is None)' 2>/dev/null; }`,
  'then exec "$troupe_python" -m torch.distributed.run "$@"',
  'else exec torchrun "$@"',
  'fi',
].join('\n')

/**
 * As torchrun itself reads its arguments: a Python file or `-m module` gets an interpreter, anything else is
 * a program.
 */
function rankCommand(spec: ForkSpec, command: string[], python: string | null): string[] {
  return !spec.shell && (command[0] === '-m' || command[0]!.endsWith('.py'))
    ? [python ?? 'python', '-u', ...command]
    : command
}
