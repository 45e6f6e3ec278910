/**
 * Which nodes the words of a `nodelist` or an `exclude` mean: the node of that name, and all nodes of the
 * host of that name. A host's name may be written without its domain, and a host may not know its own. Pure.
 */
import type { Role } from '../../protocol/launch/resolved.ts'

/** What is known of a node that a word may mean. */
export interface NamedNode {
  readonly name: string
  /** '' when it is not known */
  readonly host: string
}

function firstLabel(host: string): string {
  return host.split('.', 1)[0]!.toLowerCase()
}

function isSameHost(a: string, b: string): boolean {
  const [x, y] = [a.toLowerCase(), b.toLowerCase()]
  return x !== '' && (x === y || ((!x.includes('.') || !y.includes('.')) && firstLabel(x) === firstLabel(y)))
}

export function isMeant(word: string, { name, host }: NamedNode): boolean {
  return word === name || isSameHost(word, host)
}

export function allowed(role: Pick<Role, 'nodelist' | 'exclude'>, node: NamedNode): boolean {
  const means = (word: string): boolean => isMeant(word, node)
  return (role.nodelist.length === 0 || role.nodelist.some(means)) && !role.exclude.some(means)
}

/** Under these a node is found by any word that means it; a host's first label is no node's name. */
export function keysOfNode({ name, host }: NamedNode): string[] {
  return host === '' ? [name] : [name, `${firstLabel(host)}.`]
}
export function keysOfWord(word: string): string[] {
  return [word, `${firstLabel(word)}.`]
}
