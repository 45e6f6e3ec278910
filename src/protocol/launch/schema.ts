/**
 * The launch document as people write it: every key, its form and its default. The JSON Schema for editors
 * and the reference page come from here. What the keys mean together (cycles, ports, replicas) stands in
 * document.ts, defaults that depend on other keys too. Each `strict` object tells its own keys in its error,
 * so that an unknown one can be answered with the nearest.
 */
import * as z from 'zod'
import { WORKERS_MAX } from '../bounds.ts'
import { LAUNCH_NAME_MAX, NAME, NODE_WORD, RUN_WORDS } from '../names.ts'
import { CallerShell } from './resolved.ts'
import { StopSignal } from './stop-signal.ts'
import {
  DURATION_FORMS,
  parseDuration,
  parseShape,
  parseSize,
  SHAPE_FORMS,
  SIZE_FORMS,
  type Shape,
} from './units.ts'

const NAME_RULE = 'names match [A-Za-z0-9][A-Za-z0-9_-]{0,39}'

/** Keys and words of later versions, refused by name. */
export const LATER: ReadonlySet<string> = new Set([
  'slurm',
  'ray',
  'hosts',
  'colocate',
  'runtime-pool',
  'secrets',
  'onTimeLimit',
  'container',
  'image',
  'mounts',
  'mount',
  'pool',
  'schedule',
])

function strict<S extends z.core.$ZodShape>(shape: S) {
  return z.strictObject(shape, {
    error: (issue) => (issue.code === 'unrecognized_keys' ? Object.keys(shape).join(' ') : undefined),
  })
}

/** A text form that becomes a value; `forms` is what the error names. */
function unit<T>(what: string, forms: string, parse: (text: string | number) => T | null) {
  return z.union([z.string(), z.number()]).transform((text, context): T => {
    const value = parse(text)
    if (value !== null) return value
    context.addIssue({ code: 'custom', message: `'${text}' is no ${what}; write ${forms}` })
    return z.NEVER
  })
}

const Duration = unit('duration', DURATION_FORMS, parseDuration)
const Size = unit('size', SIZE_FORMS, parseSize)
const ShapeText = unit<Shape>('shape', SHAPE_FORMS, (text) => parseShape(String(text)))

const Count = z.number().int().min(0)
const NameText = z
  .string()
  .regex(NAME, { error: (issue) => `'${String(issue.input)}' is no name: ${NAME_RULE}` })
function noNode({ input }: { input?: unknown }): string {
  return `'${String(input)}' is no name of a node or of a host`
}
const NodeTexts = z.array(z.string().regex(NODE_WORD, { error: noNode })).optional()
// NUL would end the string in exec
function plain(text: string): boolean {
  return !text.includes('\0')
}
function isPathEntry(text: string): boolean {
  return plain(text) && !text.includes(':')
}
const NO_COLON = 'an entry of PATH has no colon and no NUL'
function isNoHome(text: string): boolean {
  return !text.startsWith('~')
}
const NO_HOME = {
  error: (issue: { input?: unknown }) =>
    `'${String(issue.input)}': only shells fill in a ~; write the whole path, or './~' for that name`,
}
/** An entry of PATH. */
const Directory = z.string().min(1).refine(isPathEntry, NO_COLON).refine(isNoHome, NO_HOME)
/** Text where YAML may have seen a number. */
const Text = z
  .union([z.string(), z.number(), z.boolean()])
  .transform(String)
  .refine(plain, 'a NUL character cannot be passed to a process')
const Argv = z.array(Text).min(1, 'needs at least the program')
const EnvName = z.string().regex(/^[^=\0\s]{1,256}$/, {
  error: (issue) => `'${String(issue.input)}' is no name of an environment variable`,
})
const Env = z.record(EnvName, Text)
const Http = strict({
  port: Count.describe('index of a leased port'),
  path: z.string().startsWith('/', "must begin with '/'").prefault('/'),
})
const ExecForm = z.union([Argv, strict({ command: Argv }).transform(({ command }) => command)])

const ResourcesForm = strict({
  cpus: Count.prefault(0).describe('cores leased to each worker; thread variables follow'),
  gpus: Count.prefault(0).describe('GPUs leased to each worker'),
  memory: Size.prefault(0).describe(`memory reserved on the node: ${SIZE_FORMS}`),
  ports: Count.max(1000).prefault(0).describe('ports leased on the node, filled in as `${{ port.0 }}`…'),
  share: z.boolean().prefault(false).describe('use GPUs that are leased already, instead of being refused'),
})

const ReadyForm = strict({
  http: Http.optional().describe(
    'ready when this path answers 2xx; a redirect is no 2xx, and is not followed',
  ),
  tcp: strict({ port: Count.describe('index of a leased port') })
    .optional()
    .describe('ready when the port accepts a connection'),
  exec: ExecForm.optional().describe('ready when this command exits 0'),
  log: z.string().optional().describe('ready when a line of stdout or stderr matches; RE2 syntax'),
  timeout: Duration.prefault('5m').describe('from the start of the process'),
  interval: Duration.prefault('1s'),
  attemptTimeout: Duration.prefault('2s'),
  failures: Count.min(1).prefault(3).describe('so many in a row make a ready worker unready'),
})

const POLICIES = ['never', 'on-failure', 'always'] as const
const RestartForm = strict({
  policy: z.enum(POLICIES),
  max: Count.max(1000)
    .prefault(3)
    .describe('restarts within the window, which is longer than the pauses between so many'),
  window: Duration.prefault('1h'),
  backoff: z
    .tuple([Duration, Duration])
    .prefault(['1s', '30s'])
    .describe('first and longest wait before a restart'),
  scope: z
    .enum(['worker', 'role', 'run'])
    .optional()
    .describe('what is restarted together; torchrun: role, else worker'),
  not: z
    .array(z.string())
    .prefault([])
    .describe('a failure whose last lines match one of these is final; RE2 syntax'),
})

const SAVED_LINE =
  'a line of its output (torchrun: or of a rank) that is printed after its stop began; RE2 syntax'
const StopForm = strict({
  signal: StopSignal.prefault('TERM').describe(
    'one signal, or several with the time of each: [INT 10s, TERM 20s]; SIGKILL after the last',
  ),
  to: z
    .enum(['root', 'tree'])
    .prefault('root')
    .describe(
      'root: the process that was started gets the signal, once; what it leaves behind gets it when it has ended. tree: all of its processes at once',
    ),
  grace: Duration.optional().describe('then SIGKILL; default 30s. Not with signals that have times'),
  order: z.enum(['reverse', 'parallel']).prefault('reverse').describe('reverse: rank 0 last'),
  saved: strict({ log: z.string().min(1, 'an empty pattern fits every line').describe(SAVED_LINE) })
    .optional()
    .describe(
      'how a worker says that it saved; status, events and stop say whether and after how long it did',
    ),
})

const CONDITIONS = ['started', 'ready', 'done'] as const
const DependencyForm = strict({
  condition: z.enum(CONDITIONS).prefault('ready'),
  timeout: Duration.optional().describe('how long to wait for it'),
})

/** Keys that a role has, and the launch as a default for all of its roles. */
const shared = {
  cwd: z
    .string()
    .min(1)
    .refine(plain, 'a NUL character')
    .refine(isNoHome, NO_HOME)
    .optional()
    .describe(
      'working directory. The command line takes a relative one from the folder of the file, which is its ' +
        'default; on the bus it is absolute. Default there: the home of the fleet’s owner',
    ),
  setup: z
    .string()
    .refine(plain, 'a NUL character')
    .optional()
    .describe('run by bash before each worker (modules, conda); the worker gets its environment'),
  env: Env.prefault({}).describe('environment; a role’s value wins over the launch’s'),
  prefix: z.array(Text).optional().describe('put before the command, such as [pixi, run, -e, cuda]'),
  pythonPath: z.array(z.string().refine(isNoHome, NO_HOME)).optional().describe('put before PYTHONPATH'),
  pathPrepend: z.array(Directory).optional().describe('put before PATH; relative ones are taken from cwd'),
  venv: Directory.optional().describe(
    'a Python virtual environment: its bin before PATH, and VIRTUAL_ENV; relative to cwd',
  ),
  network: strict({ interface: z.string().min(1).optional(), cidr: z.string().optional() })
    .optional()
    .describe(
      'which address of its node peers get: that of an interface, or the one inside a CIDR block. Only nodes ' +
        'that have one are taken. Default: the node’s end of its link to the bus',
    ),
  nodelist: NodeTexts.describe('only these: names of nodes, or of hosts, which mean all nodes there'),
  exclude: NodeTexts.describe('not these: names of nodes or hosts, as in nodelist'),
  failFast: z
    .boolean()
    .optional()
    .describe(
      'true (default): the first failure ends the run. false: the other workers of its role go on to their own ends; then the run ends, failed',
    ),
}

const KINDS = ['task', 'service', 'torchrun'] as const
const RoleForm = strict({
  kind: z
    .enum(KINDS)
    .prefault('task')
    .describe('task ends by itself, service runs until it is stopped, torchrun is a gang with ranks'),
  replicas: z.number().int().min(1).max(WORKERS_MAX).optional().describe('workers of the role; default 1'),
  shape: ShapeText.optional().describe(
    `torchrun: ${SHAPE_FORMS}. An elastic one starts with the nodes that are there; when one goes, a new ` +
      'attempt goes on with fewer, until the least is left (torch’s own restarts are off); one that comes ' +
      'later is not taken in',
  ),
  resources: z
    .union([ResourcesForm, z.array(ResourcesForm)])
    .prefault({})
    .describe(
      'per worker (torchrun: per node); a list has one entry, or one for each worker. Reserves nothing by default',
    ),
  dependsOn: z
    .record(NameText, z.union([z.enum(CONDITIONS), DependencyForm]))
    .prefault({})
    .describe('role → condition: started, ready (default) or done'),
  command: z.union([Argv, Text]).describe('argv; one string with `shell: true`'),
  shell: z.boolean().prefault(false).describe('run the one string by `bash -c`'),
  ...shared,
  ready: ReadyForm.optional().describe(
    'readiness probe: one of http, tcp, exec, log. Without one a worker is ready when it runs',
  ),
  preStop: strict({ exec: ExecForm.optional(), http: Http.optional(), timeout: Duration.prefault('10s') })
    .optional()
    .describe('called before the stop signal: exec or http. A kill does not wait for it'),
  restart: z
    .union([z.enum(POLICIES), RestartForm])
    .prefault('never')
    .describe('never, on-failure, always, or the long form'),
  stop: StopForm.prefault({}).describe('the stop ladder'),
  fenceAfter: Duration.optional().describe(
    'its agent ends a worker after so long without the coordinator, so that it may be restarted elsewhere',
  ),
})

export const LaunchForm = strict({
  apiVersion: z.literal('troupe/v1', {
    error: (issue) =>
      `apiVersion ${issue.input === undefined ? 'is missing' : `is ${JSON.stringify(issue.input)}`}; this is troupe/v1`,
  }),
  name: z
    .string()
    .regex(NAME, { error: (issue) => `'${String(issue.input)}' is no name: ${NAME_RULE}` })
    .max(LAUNCH_NAME_MAX, {
      error: (issue) =>
        `'${String(issue.input)}' is too long: a launch's name has at most ${LAUNCH_NAME_MAX} characters`,
    })
    .refine((name) => !RUN_WORDS.includes(name), {
      error: (issue) =>
        `'${String(issue.input)}' cannot be a run's name: on the command line it stands for runs`,
    })
    .describe(`of the run; its id is the name and 12 hex digits. Not ${RUN_WORDS.join(' or ')}`),
  backend: z
    .enum(['join', 'local'])
    .prefault('join')
    .describe('where nodes come from. join: those on the bus'),
  callerEnv: Env.optional().describe(
    'environment of the shell that launched, which the command line adds on the fleet’s machine ' +
      '(`--env-from`): over the agent’s, under `env`; values are taken as they are',
  ),
  callerShell: strict(CallerShell.shape)
    .optional()
    .describe(
      'umask and soft limits of that shell, added with `callerEnv`, over the agent’s. A limit is in the unit ' +
        'of setrlimit(2), or null: none; where a node allows less, a worker has that',
    ),
  ...shared,
  roles: z.record(NameText, RoleForm).describe('role name → what its workers run'),
  stopWhen: z.string().optional().describe('ROLE.done: the run ends when that role is done, failed or not'),
  deadlines: strict({
    queue: Duration.optional().describe('how long it may be pending'),
    start: Duration.prefault('5m').describe('how long starting may take'),
    run: Duration.optional().describe('how long it may run'),
  }).prefault({}),
})

export type LaunchForm = z.output<typeof LaunchForm>
export type RoleForm = z.output<typeof RoleForm>
export type ResourcesForm = z.output<typeof ResourcesForm>
export type ReadyForm = z.output<typeof ReadyForm>
export type StopForm = z.output<typeof StopForm>
