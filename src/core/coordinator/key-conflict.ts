/**
 * A key that was used with another document: which words of it differ, as far as the run of then is still
 * known. Names alone: the values of an environment are nobody's who reads events. Pure.
 */
import { Fault, isFault } from '../../protocol/faults.ts'
import { resolveLaunch } from '../../protocol/launch/document.ts'
import type { Launch } from '../../protocol/launch/resolved.ts'

const SHOWN = 8
const PATH_CHARS_MAX = 120

/** @param before  the launch of the run that has the key, when it is known */
export function keyConflict(
  key: string,
  run: string | null,
  document: unknown,
  before: Launch | undefined,
): Fault {
  const differ = before === undefined ? [] : differences(before, launchOf(document)).slice(0, SHOWN + 1)
  const words = differ.slice(0, SHOWN).join(', ') + (differ.length > SHOWN ? '…' : '')
  return new Fault(
    'KEY_CONFLICT',
    `key '${key}' was used with another document${run === null ? '' : ` (run ${run})`}` +
      (words === '' ? '' : `; different are: ${words}`),
    {
      data: { key, run, ...(before !== undefined && { differ: differ.slice(0, SHOWN) }) },
      ...(differ.some((path) => /^caller(Env|Shell)/.test(path)) && {
        hint: 'callerEnv and callerShell are taken from the shell that launches: launch from the same one, or with --env-from none each time',
      }),
    },
  )
}

/** A document that is no launch differs as a whole. */
function launchOf(document: unknown): Launch | null {
  try {
    return resolveLaunch(document)
  } catch (error) {
    if (isFault(error)) return null
    throw error
  }
}

/** The paths at which two values differ, as `roles.main.command`: a list of plain values is one word. */
function differences(before: unknown, now: unknown, path = ''): string[] {
  const [a, b] = [keyed(before), keyed(now)]
  if (a === null || b === null)
    return JSON.stringify(before) === JSON.stringify(now) || path === ''
      ? []
      : [path.slice(0, PATH_CHARS_MAX)]
  const keys = [...new Set([...Object.keys(a), ...Object.keys(b)])].toSorted()
  return keys.flatMap((key) => differences(a[key], b[key], path === '' ? key : `${path}.${key}`))
}

/** Roles by their names; null for what has no keys. */
function keyed(value: unknown): Record<string, unknown> | null {
  if (typeof value !== 'object' || value === null) return null
  if (!Array.isArray(value)) return value as Record<string, unknown>
  const named = value.map((item) => [(item as { name?: unknown } | null)?.name, item])
  return value.length > 0 && named.every(([name]) => typeof name === 'string')
    ? (Object.fromEntries(named) as Record<string, unknown>)
    : null
}
