/**
 * Subjects from the table: build one, the wildcard of a row, and read one back. All of fixed arity.
 */
import { Fault } from './faults.ts'
import { TABLE, type ParamsOf, type RowName } from './table.ts'

/** One token: what may stand between two dots. `_` and `_all` fill empty places. */
const TOKEN = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,79}$/

export function rootOf(fleet: string): string {
  return `troupe.v1.${fleet}`
}

/**
 * @throws {Fault} REQUEST_INVALID when a parameter is no subject token (a dot or wildcard would change the
 * address)
 */
export function subjectOf<N extends RowName>(fleet: string, name: N, params: ParamsOf<N>): string {
  return `${rootOf(fleet)}.${TABLE[name].subject.replace(/\{(\w+)\}/g, (_, key: string) => {
    const value = String((params as Record<string, string | number>)[key])
    if (!TOKEN.test(value))
      throw new Fault('REQUEST_INVALID', `'${value}' cannot stand in a subject (${name}, ${key})`)
    return value
  })}`
}

/** The row's subject with `*` where `params` leaves a place open. */
export function wildcardOf<N extends RowName>(
  fleet: string,
  name: N,
  params: Partial<ParamsOf<N>> = {},
): string {
  const known = params as Record<string, string | number>
  const subject = TABLE[name].subject.replace(/\{(\w+)\}/g, (_, key: string) => String(known[key] ?? '*'))
  return `${rootOf(fleet)}.${subject}`
}

/**
 * @returns the parameters when the subject fits the row, else null: a handler refuses a message whose own
 * subject does not fit.
 */
export function parseSubject<N extends RowName>(
  fleet: string,
  name: N,
  subject: string,
): Record<keyof ParamsOf<N>, string> | null {
  const template = `${rootOf(fleet)}.${TABLE[name].subject}`.split('.')
  const tokens = subject.split('.')
  if (template.length !== tokens.length) return null
  const params: Record<string, string> = {}
  for (let i = 0; i < template.length; i++) {
    const place = /^\{(\w+)\}$/.exec(template[i]!)
    if (place) params[place[1]!] = tokens[i]!
    else if (template[i] !== tokens[i]) return null
  }
  return params as Record<keyof ParamsOf<N>, string>
}
