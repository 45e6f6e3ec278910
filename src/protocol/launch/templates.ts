/**
 * `${{ … }}` in commands, environment values, prefixes and probes: what may stand in it, and filling it in on
 * the node. Values are inserted, never expanded again, so nothing that a worker or a peer says can become a
 * template. `$${{` is a plain `${{`.
 */
import { Fault } from '../faults.ts'
import { nearest } from '../names.ts'
import type { Bindings } from './resolved.ts'

export interface TemplateContext {
  ports: readonly number[]
  host: string
  index: number
  attempt: number
  node: string
  run: string
  roles: Bindings['roles']
}

/** One `${{ name }}`, understood. */
export type TemplateName =
  | { kind: 'port'; port: number }
  | { kind: 'role'; role: string; field: 'addr' | 'addrs' }
  | { kind: 'own'; field: (typeof OWN)[number] }

const OWN = ['host', 'index', 'attempt', 'node', 'run'] as const
const KNOWN = ['port.0', 'roles.X.addr', 'roles.X.addrs', ...OWN]

/** What may be asked for, for messages and the reference. */
export const TEMPLATE_NAMES = KNOWN.join(', ')

/** `$${{` (escaped), `${{ … }}`, or a `${{` that is never closed. */
const PLACE = /\$\$\{\{|\$\{\{(?:([^{}]{0,200})\}\})?/g

/** The texts between `${{` and `}}`, in order; null for one that is never closed. */
export function templateNames(text: string): (string | null)[] {
  return [...text.matchAll(PLACE)]
    .filter(([place]) => place !== '$${{')
    .map((match) => match[1]?.trim() ?? null)
}

/** @returns what the text between `${{` and `}}` asks for, or the sentence that refuses it */
export function parseTemplateName(name: string | null): TemplateName | string {
  if (name === null) return "'${{' is never closed by '}}' (write '$${{' for the characters themselves)"
  const port = /^port\.(\d{1,4})$/.exec(name)
  if (port) return { kind: 'port', port: Number(port[1]) }
  const role = /^roles\.([A-Za-z0-9][A-Za-z0-9_-]{0,39})\.(addrs?)$/.exec(name)
  if (role) return { kind: 'role', role: role[1]!, field: role[2] as 'addr' | 'addrs' }
  const own = OWN.find((field) => field === name)
  if (own !== undefined) return { kind: 'own', field: own }
  const near = nearest(name, KNOWN)
  return `unknown template '\${{ ${name} }}'; ${near === null ? `known are ${TEMPLATE_NAMES}` : `did you mean '\${{ ${near} }}'?`}`
}

/**
 * Fill in every `${{ … }}` of a text.
 * @throws {Fault} WORKER_CONFIG when a name is unknown, or its value is (a role without a leased port has no
 * address)
 */
export function fillTemplate(text: string, context: TemplateContext): string {
  return text.replace(PLACE, (place, inner: string | undefined) => {
    if (place === '$${{') return '${{'
    const name = parseTemplateName(inner?.trim() ?? null)
    if (typeof name === 'string') throw new Fault('WORKER_CONFIG', name)
    const value = valueOf(name, context)
    if (value === null)
      throw new Fault('WORKER_CONFIG', `'${place}' has no value here`, {
        data: { template: place, ports: context.ports.length, roles: Object.keys(context.roles) },
      })
    return value
  })
}

function valueOf(name: TemplateName, context: TemplateContext): string | null {
  switch (name.kind) {
    case 'port':
      return context.ports[name.port]?.toString() ?? null
    case 'own':
      return String(context[name.field])
    case 'role': {
      const role = Object.hasOwn(context.roles, name.role) ? context.roles[name.role]! : null
      return role === null || role.addr === null
        ? null
        : name.field === 'addr'
          ? role.addr
          : role.addrs.join(',')
    }
  }
}
