/**
 * Names and handles: what a run, role, node or user may be called, and how people write down a worker or a
 * rank. Owns the one regular expression; leaves subjects to subjects.ts.
 */

/** Names of runs, roles, nodes and users; a leading `_` is ours. 1 to 40 characters. */
export const NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/
/** The name of a node, or of a host with or without its domain. */
export const NODE_WORD = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/
/** A launch's `name` is shorter, so that `NAME-` plus a 12-digit hash still has at most 40. */
export const LAUNCH_NAME_MAX = 27
export const RUN_HASH_CHARS = 12
/** They stand for runs on the command line, so no run is called so. */
export const RUN_WORDS: readonly string[] = ['last', 'all']

export function isName(text: string): boolean {
  return NAME.test(text)
}

/** Turn any text (a Unix user, a program's file name) into a name: other characters become `-`. */
export function toName(text: string, max = 40): string {
  const name = text
    .replace(/[^A-Za-z0-9_-]/g, '-')
    .replace(/^[^A-Za-z0-9]+/, '')
    .slice(0, max)
  return name === '' ? 'x' : name
}

/** `RUN.ROLE.INDEX.ATTEMPT`: one try to run one worker. */
export function forkIdOf(run: string, role: string, index: number, attempt: number): string {
  return `${run}.${role}.${index}.${attempt}`
}

export interface ForkParts {
  run: string
  role: string
  index: number
  attempt: number
}

/** @returns the parts, or null when the text is no fork id */
export function parseForkId(forkId: string): ForkParts | null {
  const [run, role, index, attempt, ...rest] = forkId.split('.')
  if (rest.length > 0 || !run || !role || !isName(run) || !isName(role)) return null
  if (!/^\d{1,9}$/.test(index ?? '') || !/^\d{1,9}$/.test(attempt ?? '')) return null
  return { run, role, index: Number(index), attempt: Number(attempt) }
}

/** `RUN/ROLE/INDEX` */
export function workerIdOf(run: string, role: string, index: number): string {
  return `${run}/${role}/${index}`
}

/** @returns the parts of `RUN/ROLE/INDEX`, or null when the text is no worker's name */
export function parseWorkerId(text: string): Omit<ForkParts, 'attempt'> | null {
  const [run, role, index, ...rest] = text.split('/')
  if (rest.length > 0 || !run || !role || !isName(run) || !isName(role)) return null
  return /^\d{1,9}$/.test(index ?? '') ? { run, role, index: Number(index) } : null
}

/** The name of a worker's credential: `RUN.ROLE.INDEX`, which stands in a subject as three tokens. */
export function isWorkerTokens(text: string): boolean {
  const [run, role, index, ...rest] = text.split('.')
  return (
    rest.length === 0 &&
    [run, role].every((name) => isName(name ?? '')) &&
    /^(0|[1-9]\d{0,8})$/.test(index ?? '')
  )
}

/** The nearest of `candidates` by edit distance, for "did you mean"; null when none is near. */
export function nearest(word: string, candidates: Iterable<string>): string | null {
  let best: string | null = null
  let bestDistance = Math.max(2, Math.floor(word.length / 3)) + 1
  for (const candidate of candidates) {
    const distance = editDistance(word.toLowerCase(), candidate.toLowerCase())
    if (distance < bestDistance) [best, bestDistance] = [candidate, distance]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++)
      row.push(
        Math.min(row[j - 1]! + 1, previous[j]! + 1, previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1)),
      )
    previous = row
  }
  return previous[b.length]!
}

/**
 * The name of an agent's control connection: the server says it in its advisory when the connection ends.
 *
 * @param link  counts the connections of an incarnation: a renewed credential comes with a new one
 */
export function agentConnectionName(node: string, incarnation: string, link: number): string {
  return `troupe-agent/${node}/${incarnation}/${link}`
}

/** @returns null when the connection is no agent's control connection */
export function parseAgentConnectionName(
  name: string,
): { node: string; incarnation: string; link: number } | null {
  const [kind, node, incarnation, link, ...rest] = name.split('/')
  return kind === 'troupe-agent' &&
    rest.length === 0 &&
    node !== undefined &&
    isName(node) &&
    incarnation &&
    /^\d{1,9}$/.test(link ?? '')
    ? { node, incarnation, link: Number(link) }
    : null
}
