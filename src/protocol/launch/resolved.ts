/**
 * The launch request after resolution: every default filled in, every unit a number. This is what the
 * coordinator decides on, what is kept in STATE and what `--dry-run` prints. document.ts turns a document
 * into it; nothing else does.
 */
import * as z from 'zod'
import { WORKERS_MAX } from '../bounds.ts'
import { LAUNCH_NAME_MAX, NAME } from '../names.ts'
import { Index, Millis, Name, SignalName } from '../shapes.ts'

export const Resources = z.object({
  /** 0 reserves nothing */
  cpus: z.number().int().min(0),
  gpus: z.number().int().min(0),
  memoryBytes: z.number().int().min(0),
  ports: z.number().int().min(0).max(1000),
  /** share GPUs that are leased already, instead of being refused */
  share: z.boolean(),
})
export type Resources = z.infer<typeof Resources>

const probeTiming = {
  timeoutMs: Millis,
  intervalMs: Millis,
  attemptTimeoutMs: Millis,
  failures: z.number().int().min(1),
}
/**
 * Readiness: `timeoutMs` counts from the start of the process; afterwards `failures` in a row make it
 * unready.
 */
export const Probe = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('http'), port: Index, path: z.string(), ...probeTiming }),
  z.object({ kind: z.literal('tcp'), port: Index, ...probeTiming }),
  z.object({ kind: z.literal('exec'), command: z.array(z.string()), ...probeTiming }),
  /** ready when a line of stdout or stderr matches; RE2 syntax */
  z.object({ kind: z.literal('log'), pattern: z.string(), ...probeTiming }),
])
export type Probe = z.infer<typeof Probe>

export const PreStop = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('exec'), command: z.array(z.string()), timeoutMs: Millis }),
  z.object({ kind: z.literal('http'), port: Index, path: z.string(), timeoutMs: Millis }),
])
export type PreStop = z.infer<typeof PreStop>

export const Network = z.union([z.object({ interface: z.string() }), z.object({ cidr: z.string() })])
export type Network = z.infer<typeof Network>

const DependencyCondition = z.enum(['started', 'ready', 'done'])

export const RoleKind = z.enum(['task', 'service', 'torchrun'])

export const STOP_SIGNALS_MAX = 5

/** How a worker is told to stop, and how long it has before SIGKILL. */
export const StopLadder = z.object({
  signal: SignalName,
  /** from the first signal to SIGKILL, whatever else is sent between */
  graceMs: Millis,
  /** further signals, in order, each so long after the first one */
  further: z
    .array(z.object({ signal: SignalName, afterMs: Millis }))
    .max(STOP_SIGNALS_MAX - 1)
    .optional(),
  /** root (also where nothing is said): the others of the tree get the signal when the root has ended */
  to: z.enum(['root', 'tree']).optional(),
  order: z.enum(['reverse', 'parallel']),
  /** a line of its output by which a worker says, after its stop began, that it saved; RE2 syntax */
  saved: z.object({ log: z.string() }).optional(),
})
export type StopLadder = z.infer<typeof StopLadder>

export const Role = z.object({
  name: Name,
  kind: RoleKind,
  /** workers of the role; for torchrun the (largest) number of nodes, each on a node of its own */
  replicas: z.number().int().min(1).max(WORKERS_MAX),
  /** torchrun only: smallest number of nodes (elastic) and processes per node */
  minReplicas: z.number().int().min(1),
  nproc: z.number().int().min(0),
  /** what each worker has; a list, by index, where they differ */
  resources: z.union([Resources, z.array(Resources)]),
  dependsOn: z.array(z.object({ role: Name, condition: DependencyCondition, timeoutMs: Millis.nullable() })),
  /** its own, over the launch's */
  env: z.record(z.string(), z.string()),
  command: z.array(z.string()).min(1),
  /** one string run by `bash -c` */
  shell: z.boolean(),
  prefix: z.array(z.string()),
  pythonPath: z.array(z.string()),
  /** left out when there is none */
  pathPrepend: z.array(z.string()).optional(),
  venv: z.string().optional(),
  setup: z.string().nullable(),
  /** absolute, or null: the fleet owner's home on the node */
  cwd: z.string().nullable(),
  nodelist: z.array(z.string()),
  exclude: z.array(z.string()),
  network: Network.nullable(),
  ready: Probe.nullable(),
  preStop: PreStop.nullable(),
  restart: z.object({
    policy: z.enum(['never', 'on-failure', 'always']),
    max: z.number().int().min(0),
    windowMs: Millis.nullable(),
    backoffMs: z.tuple([Millis, Millis]),
    scope: z.enum(['worker', 'role', 'run']),
    /** RE2 patterns: a stderr tail or error file that matches is not retried */
    not: z.array(z.string()),
  }),
  stop: StopLadder,
  /** false: a failed worker does not end its peers; the role fails when all are done */
  failFast: z.boolean(),
  fenceAfterMs: Millis.nullable(),
})
export type Role = z.infer<typeof Role>

/** As setrlimit(2) names them. */
const LimitName = z.enum(['cpu', 'fsize', 'data', 'stack', 'core', 'nproc', 'nofile', 'memlock', 'as'])
export type LimitName = z.infer<typeof LimitName>

/** What a worker has of the shell that launched, beside its environment. A limit of null is none. */
export const CallerShell = z.object({
  umask: z
    .string()
    .regex(/^[0-7]{1,4}$/)
    .optional(),
  limits: z.partialRecord(LimitName, z.number().int().min(0).nullable()).optional(),
})
export type CallerShell = z.infer<typeof CallerShell>

export const Launch = z.object({
  apiVersion: z.literal('troupe/v1'),
  name: z.string().regex(NAME).max(LAUNCH_NAME_MAX),
  backend: z.enum(['join', 'local']),
  /** of all roles */
  env: z.record(z.string(), z.string()),
  /** of the shell that launched, where there was one: over the agent's, under `env` */
  callerEnv: z.record(z.string(), z.string()).optional(),
  callerShell: CallerShell.optional(),
  roles: z.array(Role).min(1).max(1000),
  stopWhen: z.object({ role: Name, condition: z.literal('done') }).nullable(),
  deadlines: z.object({ queueMs: Millis.nullable(), startMs: Millis.nullable(), runMs: Millis.nullable() }),
})
export type Launch = z.infer<typeof Launch>

/** What the worker with this index reserves. */
export function resourcesOf({ resources }: Pick<Role, 'resources'>, index: number): Resources {
  return Array.isArray(resources) ? resources[index]! : resources
}
/** What its workers reserve: one, or one for each. */
export function allResources({ resources }: Pick<Role, 'resources'>): readonly Resources[] {
  return Array.isArray(resources) ? resources : [resources]
}

/**
 * What a `prepare` order says of one worker: all of it that is known before ports are. Command, env values,
 * prefix and probe still hold `${{ port.N }}` and `${{ roles.X.addr }}`: the agent fills them in at `start`.
 */
export const ForkSpec = Role.omit({
  name: true,
  replicas: true,
  minReplicas: true,
  resources: true,
  dependsOn: true,
  restart: true,
  nodelist: true,
  exclude: true,
  failFast: true,
}).extend({
  forkId: z.string(),
  run: Name,
  role: Name,
  index: Index,
  attempt: Index,
  user: z.string(),
  callerEnv: Launch.shape.callerEnv,
  callerShell: Launch.shape.callerShell,
  resources: Resources,
  torchrun: z
    .object({
      /** `2`, or `1:2` when elastic */
      nnodes: z.string(),
      nodeRank: Index,
      nproc: z.number().int().min(1),
      /** lease a rendezvous port on this node (node rank 0) */
      hostsRendezvous: z.boolean(),
    })
    .nullable(),
})
export type ForkSpec = z.infer<typeof ForkSpec>

/** What only the whole gang knows, told with `start`. */
export const Bindings = z.object({
  /** role → address of worker 0 port 0, and of all; roles that this one depends on, and its own */
  roles: z.record(z.string(), z.object({ addr: z.string().nullable(), addrs: z.array(z.string()) })),
  /** torchrun's rendezvous: host and leased port of node rank 0 */
  rendezvous: z.object({ host: z.string(), port: z.number().int() }).nullable(),
})
export type Bindings = z.infer<typeof Bindings>
