/**
 * The launch document into a Launch: form, then meaning, then defaults; the only way to get one. Pure: the
 * command line, `validate` and the coordinator all call it and say the same. Also `--set` and paths relative
 * to a directory. Whether any node could hold it is the coordinator's to know (core/placement.ts).
 */
import { isAbsolute, resolve } from 'node:path/posix'
import { isDeepStrictEqual } from 'node:util'
import { LAUNCH_BYTES_MAX } from '../bounds.ts'
import { checkLaunch } from './checks.ts'
import { addFormIssues, issueList, walkDocument } from './issues.ts'
import { LaunchForm, type ReadyForm, type ResourcesForm, type RoleForm, type StopForm } from './schema.ts'
import { Launch, type PreStop, type Probe, type Resources, type Role } from './resolved.ts'
import { parseValueText, specInvalid, type LaunchIssue, type LaunchSource, type Path } from './yaml-lines.ts'

export { issueText, parseLaunchText, type LaunchIssue, type LaunchSource } from './yaml-lines.ts'
export { specHash, runIdOf } from './hash.ts'

/**
 * Validate a document and fill in every default.
 *
 * @param source gives lines to the issues, when the document was read from a text
 * @throws {Fault} SPEC_INVALID with `data.issues: LaunchIssue[]`; the message shows the first and counts the
 * rest
 */
export function resolveLaunch(document: unknown, source?: LaunchSource): Launch {
  const list = issueList(source)
  const refuseIfAny = (): void => {
    if (list.issues.length === 0) return
    throw specInvalid(
      list.issues.toSorted((a, b) => rank(a) - rank(b) || (a.line ?? 0) - (b.line ?? 0)),
      source?.file,
    )
  }

  walkDocument(document, list)
  refuseIfAny()
  const parsed = LaunchForm.safeParse(document, { reportInput: true })
  if (!parsed.success) {
    // a document of another version has other keys: telling them one by one would be noise
    const version = parsed.error.issues.find((issue) => issue.path[0] === 'apiVersion')
    addFormIssues(version ? [version] : parsed.error.issues, list)
    refuseIfAny()
  }
  const form = parsed.data!
  checkLaunch(form, list)
  refuseIfAny()
  const launch = resolveForm(form)
  const bytes = Buffer.byteLength(JSON.stringify(launch))
  if (bytes > LAUNCH_BYTES_MAX)
    list.add([], `the launch has ${bytes} bytes with its defaults filled in; at most ${LAUNCH_BYTES_MAX}`)
  refuseIfAny()
  return launch
}

/** What a later version can do comes first: it explains the rest. */
function rank({ message }: LaunchIssue): number {
  return message.startsWith('not in this version') ? 0 : 1
}

function resolveForm(form: LaunchForm): Launch {
  const [stopRole] = form.stopWhen?.split('.') ?? []
  return {
    apiVersion: form.apiVersion,
    name: form.name,
    backend: form.backend,
    env: form.env,
    ...(form.callerEnv !== undefined && { callerEnv: form.callerEnv }),
    ...(form.callerShell !== undefined && { callerShell: form.callerShell }),
    roles: Object.entries(form.roles).map(([name, role]) => resolveRole(name, role, form)),
    stopWhen: stopRole === undefined ? null : { role: stopRole, condition: 'done' },
    deadlines: {
      queueMs: form.deadlines.queue ?? null,
      startMs: form.deadlines.start,
      runMs: form.deadlines.run ?? null,
    },
  }
}

function resolveRole(name: string, role: RoleForm, launch: LaunchForm): Role {
  const replicas = role.shape?.nodes ?? role.replicas ?? 1
  return {
    name,
    kind: role.kind,
    replicas,
    minReplicas: role.shape?.nodesMin ?? replicas,
    nproc: role.shape?.nproc ?? 0,
    resources: resolveResources([role.resources].flat()),
    dependsOn: Object.entries(role.dependsOn).map(([on, how]) =>
      typeof how === 'string'
        ? { role: on, condition: how, timeoutMs: null }
        : { role: on, condition: how.condition, timeoutMs: how.timeout ?? null },
    ),
    env: role.env,
    command: [role.command].flat(),
    shell: role.shell,
    prefix: role.prefix ?? launch.prefix ?? [],
    pythonPath: role.pythonPath ?? launch.pythonPath ?? [],
    ...optional('pathPrepend', role.pathPrepend ?? launch.pathPrepend),
    ...optional('venv', role.venv ?? launch.venv),
    setup: role.setup ?? launch.setup ?? null,
    cwd: role.cwd ?? launch.cwd ?? null,
    nodelist: role.nodelist ?? launch.nodelist ?? [],
    exclude: role.exclude ?? launch.exclude ?? [],
    network: networkOf(role.network ?? launch.network),
    ready: role.ready === undefined ? null : resolveProbe(role.ready),
    preStop: role.preStop === undefined ? null : resolvePreStop(role.preStop),
    restart: resolveRestart(role),
    stop: resolveStop(role.stop),
    failFast: role.failFast ?? launch.failFast ?? true,
    fenceAfterMs: role.fenceAfter ?? null,
  }
}

const GRACE_MS = 30_000

/** checks.ts has seen that `grace` and signals with times do not stand together. */
function resolveStop({ signal, to, grace, order, saved }: StopForm): Role['stop'] {
  const rest = { to, order, ...optional('saved', saved) }
  if (typeof signal === 'string') return { signal, graceMs: grace ?? GRACE_MS, ...rest }
  let graceMs = 0
  const steps = signal.map((step) => {
    const afterMs = graceMs
    graceMs += step.ms
    return { signal: step.signal, afterMs }
  })
  return { signal: steps[0]!.signal, graceMs, further: steps.slice(1), ...rest }
}

function optional<K extends string, V>(key: K, value: V | undefined): { [key in K]?: V } {
  return value === undefined ? {} : ({ [key]: value } as { [key in K]: V })
}

/** One copy where all workers have the same. */
function resolveResources(forms: readonly ResourcesForm[]): Role['resources'] {
  const all = forms.map(({ memory, ...rest }): Resources => ({ ...rest, memoryBytes: memory }))
  const [first] = all
  return all.every((one) => isDeepStrictEqual(one, first)) ? first! : all
}

function networkOf(network: RoleForm['network']): Role['network'] {
  return network?.interface !== undefined
    ? { interface: network.interface }
    : network?.cidr !== undefined
      ? { cidr: network.cidr }
      : null
}

/** checks.ts has seen that exactly one of the four is given. */
function resolveProbe({
  http,
  tcp,
  exec,
  log,
  timeout,
  interval,
  attemptTimeout,
  failures,
}: ReadyForm): Probe {
  const timing = { timeoutMs: timeout, intervalMs: interval, attemptTimeoutMs: attemptTimeout, failures }
  if (http) return { kind: 'http', port: http.port, path: http.path, ...timing }
  if (tcp) return { kind: 'tcp', port: tcp.port, ...timing }
  return exec ? { kind: 'exec', command: exec, ...timing } : { kind: 'log', pattern: log!, ...timing }
}

function resolvePreStop({ exec, http, timeout }: NonNullable<RoleForm['preStop']>): PreStop {
  return exec
    ? { kind: 'exec', command: exec, timeoutMs: timeout }
    : { kind: 'http', port: http!.port, path: http!.path, timeoutMs: timeout }
}

const RESTART = {
  max: 3,
  window: 3_600_000,
  backoff: [1000, 30_000] as [number, number],
  not: [] as string[],
}

function resolveRestart({ kind, restart }: RoleForm): Role['restart'] {
  const long = typeof restart === 'string' ? { policy: restart, scope: undefined, ...RESTART } : restart
  return {
    policy: long.policy,
    max: long.max,
    windowMs: long.window,
    backoffMs: long.backoff,
    scope: long.scope ?? (kind === 'torchrun' ? 'role' : 'worker'),
    not: long.not,
  }
}

/**
 * `--set path=value`: a copy of the document with each value put at its path (`roles.trainer.env.LR=1e-3`,
 * `roles.a.command[0]=x`). The value is YAML. Mappings on the way are made; whether the keys are known is for
 * resolveLaunch to say.
 *
 * @throws {Fault} SPEC_INVALID when a path is no path, or leads through something that has no keys
 */
export function applySets(
  document: Record<string, unknown>,
  sets: readonly string[],
): Record<string, unknown> {
  const copy = structuredClone(document)
  for (const set of sets) {
    const [, pathPart, value] = /^([^=]+)=([\s\S]*)$/.exec(set) ?? []
    const path = pathPart === undefined ? null : parsePath(pathPart)
    if (path === null)
      throw specInvalid([
        { path: '', message: `'${set}' is no setting; write path=value, such as roles.trainer.replicas=2` },
      ])
    setAt(copy, path, parseValueText(value!, path), set)
  }
  return copy
}

function parsePath(text: string): Path | null {
  if (!/^[^.[\]]+(\.[^.[\]]+|\[\d{1,6}\])*$/.test(text)) return null
  return [...text.matchAll(/\[(\d+)\]|[^.[\]]+/g)].map(([part, index]) =>
    index === undefined ? part : Number(index),
  )
}

function setAt(document: Record<string, unknown>, path: Path, value: unknown, set: string): void {
  let at: unknown = document
  for (const [depth, part] of path.entries()) {
    const isList = Array.isArray(at)
    // `roles.a.command.0` reaches a list entry as well
    const key = isList && /^\d{1,6}$/.test(String(part)) ? Number(part) : part
    const fits =
      typeof at === 'object' &&
      at !== null &&
      isList === (typeof key === 'number') &&
      key !== '__proto__' &&
      (!isList || Number(key) <= (at as unknown[]).length)
    if (!fits)
      throw specInvalid([
        {
          path: path.slice(0, depth).join('.'),
          message: `'${set}' leads nowhere: there is no '${String(part)}' to set`,
        },
      ])
    const container = at as Record<string | number, unknown>
    if (depth === path.length - 1) container[key] = value
    else if (!Object.hasOwn(container, key) || container[key] === null) container[key] = {}
    at = container[key]
  }
}

/**
 * The document with each relative `cwd` taken from `base`, an absolute directory; documents that cross the
 * bus have absolute ones.
 */
export function withAbsoluteCwd(document: Record<string, unknown>, base: string): Record<string, unknown> {
  const fix = (value: unknown): unknown => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
    const { cwd } = value as { cwd?: unknown }
    return typeof cwd === 'string' && cwd !== '' && !isAbsolute(cwd) && !cwd.startsWith('~')
      ? { ...value, cwd: resolve(base, cwd) }
      : value
  }
  const top = fix(document) as Record<string, unknown>
  const { roles } = top
  if (typeof roles !== 'object' || roles === null || Array.isArray(roles)) return top
  return { ...top, roles: Object.fromEntries(Object.entries(roles).map(([name, role]) => [name, fix(role)])) }
}
