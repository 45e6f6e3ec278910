/**
 * What workers get of the shell that launches. On a machine of the fleet that is PATH and what belongs to it,
 * so that `python` means here what it means there. It goes into the document, under a key of its own: a
 * launch with the same key from another shell is told which words differ.
 */
import { networkInterfaces } from 'node:os'
import { findContext } from '../../client/context.ts'
import { Fault } from '../../protocol/faults.ts'
import { isEscaped } from '../../system/exact-env.ts'
import { homeOf } from '../../system/paths.ts'
import { readShellState } from '../../system/shell-state.ts'
import type { Io } from '../frame/io.ts'
import type { EnvFrom } from './env-from.ts'

const PATH_LIKE = ['PATH', 'VIRTUAL_ENV', 'CONDA_PREFIX']

/**
 * @param from  default: `path` where the bus of the context listens on this machine, else `none`
 * @throws {Fault} USAGE for a value whose bytes are no UTF-8: a document cannot hold it
 */
export async function withCallerEnv(
  io: Pick<Io, 'env' | 'context'>,
  document: Record<string, unknown>,
  from?: EnvFrom,
): Promise<Record<string, unknown>> {
  // a document that was printed by --dry-run has it already
  if (document['callerEnv'] !== undefined) return document
  const which = from ?? ((await isHere(io)) ? 'path' : 'none')
  if (which === 'none') return document
  const names = which === 'path' ? PATH_LIKE : Object.keys(io.env).filter(isForWorkers).toSorted()
  const taken = names.flatMap((name) => {
    const value = io.env[name]
    return value === undefined ? [] : [[name, fromHere(name, value)]]
  })
  const callerShell = readShellState(io.env)
  return {
    ...document,
    callerEnv: Object.fromEntries(taken),
    ...(callerShell !== undefined && document['callerShell'] === undefined && { callerShell }),
  }
}

/** What the shell says of itself and what is ours stays here; so does a name that no document can hold. */
function isForWorkers(name: string): boolean {
  return (
    !/^(TROUPE|NATS)_|^(_|PWD|OLDPWD|SHLVL)$/.test(name) && /^[^=\s]{1,256}$/.test(name) && !isEscaped(name)
  )
}

/** The value of a variable of this shell, as a document may hold it. @throws {Fault} USAGE */
export function fromHere(name: string, value: string): string {
  if (!isEscaped(value)) return value
  throw new Fault(
    'USAGE',
    `the value of ${name} here holds bytes that are no UTF-8; a launch cannot carry them`,
    {
      hint: `unset ${name}, or launch with --env-from none`,
    },
  )
}

/** A bus on an address of this machine: its agents are here, too. */
export async function isHere({ env, context }: Pick<Io, 'env' | 'context'>): Promise<boolean> {
  const found = await findContext({
    home: homeOf(env),
    ...(context !== undefined && { context }),
  }).catch(() => null)
  if (found === null) return false
  const hosts = found.url
    .split(',')
    .map((url) => (URL.canParse(url) ? new URL(url).hostname.replace(/^\[|\]$/g, '') : ''))
  const own = Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
  return hosts.every((host) => host === 'localhost' || host.startsWith('127.') || own.includes(host))
}
