/**
 * The reference page of environment variables: what a worker sees, what it does not inherit, what Troupe
 * reads. A test holds the names against the code.
 */
import { OUTER_JOB } from '../process/outer-job.ts'

type Line = readonly [names: string, meaning: string]

const FACTS: readonly Line[] = [
  ['TROUPE_RUN, TROUPE_ROLE, TROUPE_INDEX, TROUPE_ATTEMPT', 'which worker it is, and its how-manieth try'],
  ['TROUPE_NODE, TROUPE_FORK_ID', 'where it runs; the id of this very process tree'],
  ['TROUPE_FORK_DIR', 'mark by which a process is known as the worker’s when its shim is dead; leave it set'],
  ['TROUPE_PORT_0, TROUPE_PORT_1…', 'the ports that it leased'],
  [
    'TROUPE_ADDR_ROLE',
    'for its own role and each that it depends on (upper case, `-` as `_`): host and port 0 of its worker 0',
  ],
  ['TROUPE_HOOK', '1 in a probe’s or a pre-stop call’s program, beside the environment of its worker'],
  ['CUDA_VISIBLE_DEVICES', 'the leased GPUs; empty when it reserved none. The launch’s `env` wins over it'],
  ['PWD', 'its working directory'],
  ['PATH', '`pathPrepend` and the `bin` of `venv` in front, where the launch has them'],
  ['VIRTUAL_ENV', '`venv`, where the launch has it; PYTHONHOME is then left out'],
  ['PYTHONPATH', '`pythonPath`, by default the working directory, in front of what is inherited'],
]

const TORCHRUN: readonly Line[] = [
  ['TORCHELASTIC_ERROR_FILE', 'where torch writes the root cause of a rank’s failure'],
  ['TORCH_ELASTIC_SHUTDOWN_TIMEOUT', 'the grace and some seconds, so that torchrun does not cut it'],
  ['RANK, LOCAL_RANK, TORCHELASTIC_RESTART_COUNT…', 'of each rank, by torchrun itself'],
]

const DEFAULTS: readonly Line[] = [
  [
    'OMP_NUM_THREADS, MKL_NUM_THREADS, OPENBLAS_NUM_THREADS, NUMEXPR_NUM_THREADS, VECLIB_MAXIMUM_THREADS',
    'the leased cores, or the node’s by its workers; of a torchrun role divided by its ranks',
  ],
  ['PYTHONUNBUFFERED', '1: output goes to files, where Python would hold back 8 KiB'],
  ['CUDA_DEVICE_ORDER', 'PCI_BUS_ID, as nvidia-smi counts'],
  ['CUDA_DEVICE_MAX_CONNECTIONS', '1; kernels of one process overlap less'],
  ['TOKENIZERS_PARALLELISM', 'true'],
  [
    'GLOO_SOCKET_IFNAME, TP_SOCKET_IFNAME',
    'the interface of its node’s address. With `network` it wins over the node’s environment, and ' +
      'NCCL_SOCKET_IFNAME is set too',
  ],
  ['PYTORCH_KERNEL_CACHE_PATH, TRITON_CACHE_DIR, VLLM_CACHE_ROOT', 'directories of the node'],
]

const READ: readonly Line[] = [
  [
    'TROUPE_HOME',
    'contexts and credentials. Default: `$XDG_STATE_HOME/troupe`, else `~/.local/state/troupe` (HOME)',
  ],
  [
    'TROUPE_LOCAL',
    'bus stores and spools, on a local disk. Default: `$TROUPE_HOME/local` where TROUPE_HOME is set and on a ' +
      'local disk, else `troupe-UID` in `$SLURM_TMPDIR` or `/var/tmp`. Who uses another’s TROUPE_HOME sets it',
  ],
  ['TROUPE_CACHE', 'downloads and builds. Default: `$XDG_CACHE_HOME/troupe`, else `~/.cache/troupe`'],
  ['TROUPE_HOST', 'agent: the address that peers are told, taken as it is'],
  ['TROUPE_INTERFACE', 'agent: the interface, or the CIDR block, whose address peers are told'],
  ['TROUPE_GPU_IGNORE_USERS', 'agent: users, by commas, whose leases keep no GPU from us'],
  ['TROUPE_NATS_SERVER', 'the nats-server to run, before the one that set-up made and the one on PATH'],
  ['TROUPE_PYTHON', 'set-up and agent: a Python with torch, for a torchrun role whose own has none'],
  [
    'PYTHONPATH, PYTHONUSERBASE, PYTHONNOUSERSITE',
    '`validate` and `launch --dry-run`: where a Python has its torch; read as Python reads them',
  ],
  ['TROUPE_DEBUG', 'set: the command line shows the stack of an unexpected error'],
  ['TROUPE_MAKE_CODE_CACHE', 'of the build: make the code cache of the bundles'],
  ['TROUPE_HELD', 'between agent and shim: how many descriptors are leases'],
  ['TROUPE_BYTES', 'between `up` and agent: variables whose bytes are no UTF-8'],
  ['TROUPE_SHELL', 'between agent and shim: umask and soft limits of the worker'],
  ['TROUPE_NOFILE', 'set by `troupe` itself: the soft limit of open files that it was started with'],
  ['XDG_STATE_HOME, XDG_CACHE_HOME, SLURM_TMPDIR', 'bases of the defaults above'],
  ['XDG_CONFIG_HOME', '`context export --nats`: where the `nats` command line looks'],
  [
    'CUDA_VISIBLE_DEVICES, SLURM_STEP_GPUS, SLURM_JOB_GPUS',
    'agent: the GPUs that it may give away, the first of them that is set. Read as CUDA (Slurm) reads it',
  ],
  ['PATH, LD_LIBRARY_PATH', 'agent: nvidia-smi, `cc`, the shim; base of the workers’ own'],
  ['HOME', 'the default of paths, and of a worker’s directory where a document from the bus names none'],
  ['CC', 'the compiler of the shim; default `cc`'],
  ['NO_COLOR, TERM', 'no colour when NO_COLOR is set or TERM is `dumb`'],
]

export function environmentPage(): string {
  return `# Environment variables

Words: [the glossary](../glossary.md).

## What a worker sees

Later ones win: defaults; the environment of its node agent (of the shell in which \`up\` was typed); what
the launch took along from the caller's shell; \`env\` of the launch, then of the role; facts of Troupe.

On a machine of the fleet \`run\` and \`launch\` take along PATH, VIRTUAL_ENV and CONDA_PREFIX
(\`--env-from path\`); with \`all\` every variable but TROUPE_*, NATS_*, PWD, OLDPWD, SHLVL and \`_\`; with
\`none\`, the default elsewhere and for documents from the bus, nothing. It is \`callerEnv\` in the document.

Facts:

${tableOf(FACTS)}
Of a torchrun role:

${tableOf(TORCHRUN)}
Defaults:

${tableOf(DEFAULTS)}
## What else a worker has

Its umask and limits are those of the shell in which its agent was started. Where \`--env-from\` takes an
environment along, the caller's umask and soft limits come with it (\`callerShell\` in the document: cpu,
fsize, data, stack, core, nproc, nofile, memlock, as); where a node allows less than the caller had, a worker
has what the node allows. A limit of open files counts that was there before Node raised its own: \`troupe\`
asks for it; that of a Node program that starts \`troupe\` is not taken along.

Nobody else's state reaches it: signal dispositions are the default ones and no signal is blocked, also where
the agent was started by \`nohup\` or with \`&\` (a worker that ignored SIGINT for that could not be told to
stop by it). stdin is /dev/null, there is no controlling terminal, no descriptor above 2, and nice, CPU
affinity, oom_score_adj and cgroup limits are the agent's.

Bytes that are no UTF-8 stay as they are in a variable of the agent's environment (a probe's program goes
without it). A launch cannot carry them: in an argument (of any command), a variable that is taken along, a
file's text or the name of the working directory they are refused.

## What a worker does not inherit

TROUPE_*, NATS_*, and values that look like an NKey seed. Also what describes the place of the agent, or of
the caller, in another job; \`env\` and \`--env NAME\` give it all the same:

${tableOf(OUTER_JOB.map(({ names, why }) => [names, why] as const))}
## What Troupe reads

${tableOf(READ)}`
}

function tableOf(lines: readonly Line[]): string {
  const rows = lines.map(([names, meaning]) => {
    const marked = names.replaceAll(/[A-Z][A-Z0-9_]*[*]?/g, (name) => `\`${name}\``)
    return `| ${marked} | ${meaning} |\n`
  })
  return `| variable | |\n| --- | --- |\n${rows.join('')}`
}
