/**
 * What the keys of a launch document mean together: names that must exist, cycles, counts that must agree.
 * Adds issues, decides nothing. Every refusal of two numbers shows both.
 */
import { inBlock } from '../addresses.ts'
import { DEPENDENCIES_MAX, WORKERS_MAX } from '../bounds.ts'
import { quoted, type IssueList } from './issues.ts'
import type { LaunchForm, RoleForm } from './schema.ts'
import { nearest } from '../names.ts'
import { isFault } from '../faults.ts'
import { matcherOf } from './patterns.ts'
import { parseTemplateName, templateNames } from './templates.ts'
import type { Path } from './yaml-lines.ts'

export function checkLaunch(form: LaunchForm, list: IssueList): void {
  const roles = Object.keys(form.roles)
  if (roles.length === 0) list.add(['roles'], 'a launch needs at least one role')
  if (roles.length > 1000) list.add(['roles'], `${roles.length} roles; at most 1000`)
  checkSize(form, list)
  checkShared(form, [], list)
  checkStopWhen(form, list)
  for (const [name, role] of Object.entries(form.roles)) {
    const path = ['roles', name]
    checkShared(role, path, list)
    checkCommand(role, path, list)
    checkCounts(role, path, list)
    checkProbes(role, path, list)
    checkRestart(role, path, list)
    checkStop(role, path, list)
    for (const on of Object.keys(role.dependsOn)) checkDependency(form, on, role, path, list)
    checkTemplates(form, name, list)
  }
  checkCycles(form, list)
}

function checkSize(form: LaunchForm, list: IssueList): void {
  const all = Object.values(form.roles)
  const workers = all.reduce((sum, role) => sum + workersOf(role), 0)
  if (workers > WORKERS_MAX)
    list.add(['roles'], `${workers} workers in ${all.length} roles; a run has at most ${WORKERS_MAX}`)
  const conditions = all.reduce((sum, role) => sum + Object.keys(role.dependsOn).length, 0)
  if (conditions > DEPENDENCIES_MAX)
    list.add(['roles'], `${conditions} conditions in dependsOn; at most ${DEPENDENCIES_MAX}`)
}

function workersOf({ shape, replicas }: RoleForm): number {
  return shape?.nodes ?? replicas ?? 1
}

function unknownRole(form: LaunchForm, word: string): [string, string | null] {
  return [`no role '${word}'`, nearest(word, Object.keys(form.roles))]
}

/** The keys that a launch and a role both have. */
function checkShared(form: LaunchForm | RoleForm, path: Path, list: IssueList): void {
  if (form.cwd !== undefined && !form.cwd.startsWith('/'))
    list.add(
      [...path, 'cwd'],
      `cwd ${quoted(form.cwd)} is not absolute (the command line makes it so; on the bus it must be)`,
    )
  if (form.network !== undefined) {
    const { interface: nic, cidr } = form.network
    if ((nic === undefined) === (cidr === undefined))
      list.add([...path, 'network'], 'network is either an interface or a cidr')
    if (cidr !== undefined && inBlock(cidr) === null)
      list.add([...path, 'network', 'cidr'], `${quoted(cidr)} is no CIDR block; write 10.0.0.0/8 or fd00::/8`)
  }
  const both = (form.nodelist ?? []).find((node) => form.exclude?.includes(node))
  if (both !== undefined) list.add([...path, 'exclude'], `node '${both}' is in nodelist and in exclude`)
  if (form.nodelist?.length === 0)
    list.add([...path, 'nodelist'], 'an empty nodelist allows no node; leave the key out')
  for (const key of Object.keys(form.env))
    if (OURS.test(key)) list.add([...path, 'env', key], `${key} is set by Troupe for every worker`)
}

const OURS = /^TROUPE_(RUN|ROLE|INDEX|ATTEMPT|FORK_ID|NODE|PORT_\d+|ADDR_.*)$/

function checkStopWhen(form: LaunchForm, list: IssueList): void {
  if (form.stopWhen === undefined) return
  const match = /^([^.]+)\.done$/.exec(form.stopWhen)
  if (!match) list.add(['stopWhen'], `${quoted(form.stopWhen)} is no condition; write ROLE.done`)
  else if (!Object.hasOwn(form.roles, match[1]!)) list.add(['stopWhen'], ...unknownRole(form, match[1]!))
}

function checkStop({ stop }: RoleForm, path: Path, list: IssueList): void {
  if (typeof stop.signal !== 'string' && stop.grace !== undefined)
    list.add([...path, 'stop', 'grace'], 'signals with times have no grace: the last time is until SIGKILL')
  if (stop.saved !== undefined) checkPattern(stop.saved.log, [...path, 'stop', 'saved', 'log'], list)
}

function checkCommand(role: RoleForm, path: Path, list: IssueList): void {
  const at = [...path, 'command']
  const argv = [role.command].flat()
  if (role.shell && argv.length !== 1)
    list.add(at, `with 'shell: true' the command is one string, not a list of ${argv.length}`)
  if (!role.shell && typeof role.command === 'string')
    list.add(
      at,
      `the command is a list, such as [${role.command.trim().split(/\s+/).join(', ').slice(0, 60)}]; for a line of shell add 'shell: true'`,
    )
  if (role.shell && role.kind === 'torchrun')
    list.add([...path, 'shell'], 'torchrun starts a program itself; shell: true does not fit')
  if (argv[0] === '') list.add(at, 'the program has an empty name')
}

function checkCounts(role: RoleForm, path: Path, list: IssueList): void {
  const { kind, shape, replicas } = role
  if (kind === 'torchrun' && shape === undefined)
    list.add(path, "kind torchrun needs a shape, such as '2x8' (nodes x processes per node)", null, [
      ...path,
      'kind',
    ])
  if (kind !== 'torchrun' && shape !== undefined)
    list.add([...path, 'shape'], `a shape is for kind torchrun; this is ${kind}: use replicas`)
  if (shape !== undefined && replicas !== undefined && shape.nodes !== replicas)
    list.add([...path, 'replicas'], `replicas is ${replicas}, but the shape has ${shape.nodes} nodes`)
  const workers = workersOf(role)
  const entries = [role.resources].flat()
  if (Array.isArray(role.resources) && entries.length !== 1 && entries.length !== workers)
    list.add(
      [...path, 'resources'],
      `resources has ${entries.length} entries for ${workers} workers; give 1 or ${workers}`,
    )
  for (const { gpus, share } of entries)
    if (shape !== undefined && gpus > 0 && gpus < shape.nproc && !share) {
      list.add(
        [...path, 'resources'],
        `${shape.nproc} processes per node would share ${gpus} GPUs; lower the shape, or say share: true`,
      )
      break
    }
}

function portsOf(role: RoleForm): number {
  return Math.min(...[role.resources].flat().map(({ ports }) => ports))
}

function checkPort(role: RoleForm, port: number, path: Path, list: IssueList, what: string): void {
  const ports = portsOf(role)
  if (!(port < ports))
    list.add(
      path,
      `${what} ${port} is beyond the leased ports: resources.ports is ${ports}${ports > 0 && Number.isFinite(ports) ? `, so 0 to ${ports - 1}` : ''}`,
    )
}

function checkProbes(role: RoleForm, path: Path, list: IssueList): void {
  if (role.ready !== undefined) {
    const { http, tcp, exec, log } = role.ready
    const given = Object.entries({ http, tcp, exec, log }).filter(([, value]) => value !== undefined)
    if (given.length !== 1)
      list.add(
        [...path, 'ready'],
        `a probe is one of http, tcp, exec, log; given are ${given.length === 0 ? 'none' : given.map(([key]) => key).join(', ')}`,
      )
    if (http) checkPort(role, http.port, [...path, 'ready', 'http', 'port'], list, 'port index')
    if (tcp) checkPort(role, tcp.port, [...path, 'ready', 'tcp', 'port'], list, 'port index')
    if (log !== undefined) checkPattern(log, [...path, 'ready', 'log'], list)
    if (role.ready.interval < 10)
      list.add([...path, 'ready', 'interval'], 'a probe waits at least 10ms between attempts')
  }
  if (role.preStop !== undefined) {
    const { exec, http } = role.preStop
    if ((exec === undefined) === (http === undefined))
      list.add([...path, 'preStop'], 'preStop is either exec or http')
    if (http) checkPort(role, http.port, [...path, 'preStop', 'http', 'port'], list, 'port index')
  }
}

function checkPattern(pattern: string, path: Path, list: IssueList): void {
  try {
    matcherOf(pattern)
  } catch (error) {
    if (!isFault(error)) throw error
    list.add(path, error.message)
  }
}

function checkRestart(role: RoleForm, path: Path, list: IssueList): void {
  if (typeof role.restart === 'string') return
  const { backoff, scope, not } = role.restart
  if (backoff[0] > backoff[1])
    list.add(
      [...path, 'restart', 'backoff'],
      `the first wait (${backoff[0]} ms) is longer than the longest (${backoff[1]} ms)`,
    )
  if (role.kind === 'torchrun' && scope === 'worker')
    list.add(
      [...path, 'restart', 'scope'],
      'the ranks of a torchrun role restart together: scope is role or run',
    )
  not.forEach((pattern, i) => checkPattern(pattern, [...path, 'restart', 'not', i], list))
  checkRestartLimit(role.restart, [...path, 'restart'], list)
}

/** When the last restart begins to wait, the first must still count, or the limit is none. */
function checkRestartLimit(
  { policy, max, window, backoff }: Exclude<RoleForm['restart'], string>,
  path: Path,
  list: IssueList,
): void {
  if (policy === 'never' || backoff[0] > backoff[1]) return
  let pausesMs = 0
  for (let tries = 0; tries < max; tries++)
    pausesMs += Math.min(backoff[1], backoff[0] * 2 ** Math.min(tries, 16))
  if (max > 0 && window <= pausesMs)
    list.add(
      [...path, 'window'],
      `${max} restarts are never counted within a window of ${window / 1000} s: the pauses between them (backoff ` +
        `${backoff[0] / 1000} s to ${backoff[1] / 1000} s) are ${pausesMs / 1000} s together. Write a window ` +
        'longer than that, or a smaller max',
    )
}

function checkDependency(form: LaunchForm, on: string, role: RoleForm, path: Path, list: IssueList): void {
  const at = [...path, 'dependsOn', on]
  if (!Object.hasOwn(form.roles, on)) return list.add([...path, 'dependsOn'], ...unknownRole(form, on), at)
  const how = role.dependsOn[on]!
  if ((typeof how === 'string' ? how : how.condition) === 'done' && form.roles[on]!.kind === 'service')
    list.add(at, `'${on}' is a service, which is never done: wait for started or ready`)
}

/** Depth first, in document order; each cycle is told once, as `a -> b -> a`. */
function checkCycles(form: LaunchForm, list: IssueList): void {
  const done = new Set<string>()
  const trail: string[] = []
  const visit = (name: string): void => {
    if (done.has(name) || !Object.hasOwn(form.roles, name)) return
    const from = trail.indexOf(name)
    if (from !== -1) {
      const cycle = [...trail.slice(from), name]
      return list.add(['roles', cycle[0]!, 'dependsOn'], `roles wait for each other: ${cycle.join(' -> ')}`)
    }
    trail.push(name)
    for (const on of Object.keys(form.roles[name]!.dependsOn)) visit(on)
    trail.pop()
    done.add(name)
  }
  for (const name of Object.keys(form.roles)) visit(name)
}

function listed(texts: readonly string[] | undefined, at: Path): [string, Path][] {
  return (texts ?? []).map((text, i) => [text, [...at, i]])
}

/** Everywhere where the agent fills templates in. */
function templateTexts(form: LaunchForm, name: string): [string, Path][] {
  const role = form.roles[name]!
  const path: Path = ['roles', name]
  return [
    ...(Array.isArray(role.command)
      ? listed(role.command, [...path, 'command'])
      : ([[role.command, [...path, 'command']]] as [string, Path][])),
    ...Object.entries(role.env).map(([key, value]): [string, Path] => [value, [...path, 'env', key]]),
    ...Object.entries(form.env)
      .filter(([key]) => !Object.hasOwn(role.env, key))
      .map(([key, value]): [string, Path] => [value, ['env', key]]),
    ...listed(role.prefix ?? form.prefix, role.prefix ? [...path, 'prefix'] : ['prefix']),
    ...listed(role.ready?.exec, [...path, 'ready', 'exec']),
    ...(role.ready?.http
      ? ([[role.ready.http.path, [...path, 'ready', 'http', 'path']]] as [string, Path][])
      : []),
    ...listed(role.preStop?.exec, [...path, 'preStop', 'exec']),
    ...(role.preStop?.http
      ? ([[role.preStop.http.path, [...path, 'preStop', 'http', 'path']]] as [string, Path][])
      : []),
  ]
}

function checkTemplates(form: LaunchForm, name: string, list: IssueList): void {
  const role = form.roles[name]!
  for (const [text, path] of templateTexts(form, name))
    for (const inner of templateNames(text)) {
      const asked = parseTemplateName(inner)
      if (typeof asked === 'string') list.add(path, asked)
      else if (asked.kind === 'port')
        checkPort(role, asked.port, path, list, `'\${{ port.${asked.port} }}': port`)
      else if (asked.kind === 'role') checkRoleAddress(form, name, asked.role, path, list)
    }
}

function checkRoleAddress(form: LaunchForm, name: string, asked: string, path: Path, list: IssueList): void {
  if (!Object.hasOwn(form.roles, asked)) return list.add(path, ...unknownRole(form, asked))
  if (asked !== name && !Object.hasOwn(form.roles[name]!.dependsOn, asked))
    return list.add(
      path,
      `role '${name}' asks for the address of '${asked}' without waiting for it; add dependsOn: { ${asked}: { condition: ready } }`,
    )
  if (portsOf(form.roles[asked]!) === 0)
    list.add(path, `role '${asked}' has no address: it leases no port; give it resources: { ports: 1 }`)
}
