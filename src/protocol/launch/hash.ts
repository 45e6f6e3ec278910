/**
 * Canonical JSON and the hashes made of it: what tells two launch documents apart, and a run's id.
 * The order of keys and the comments of the file do not count.
 */
import { createHash } from 'node:crypto'
import { RUN_HASH_CHARS } from '../names.ts'

function sha256(text: string): string {
  return createHash('sha256').update(text, 'utf8').digest('hex')
}

/** JSON with sorted keys and without `undefined`: equal values give equal text. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map((child) => canonicalJson(child)).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, child]) => child !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, child]) => `${JSON.stringify(key)}:${canonicalJson(child)}`).join(',')}}`
}

/** SHA-256, in hex, of a document as it was sent. */
export function specHash(document: unknown): string {
  return sha256(canonicalJson(document))
}

/**
 * `NAME-` and 12 hex digits of the key's SHA-256: the same key gives the same run id, whoever computes it.
 */
export function runIdOf(name: string, key: string): string {
  return `${name}-${sha256(key).slice(0, RUN_HASH_CHARS)}`
}
