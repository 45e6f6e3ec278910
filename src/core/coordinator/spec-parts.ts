/**
 * A resolved launch in STATE: its bytes in parts that fit into entries. They stay bytes until somebody leads
 * over them, so a mirror costs no more than what is written.
 */
import { decode, encode } from '../../protocol/codec.ts'
import type { StateOp } from '../../protocol/records.ts'
import type { Launch } from '../../protocol/launch/resolved.ts'
import { MSGPACK } from '../../protocol/table.ts'

/** Half of an entry: another op fits beside it. */
const PART_BYTES = 256 * 1024

export type SpecOp = Extract<StateOp, { op: 'spec' }>

export interface SpecParts {
  of: number
  parts: Map<number, SpecOp['bytes']>
}

export function specOps(run: string, launch: Launch): SpecOp[] {
  const bytes = encode(launch, 'msgpack')
  const of = Math.ceil(bytes.length / PART_BYTES)
  return Array.from({ length: of }, (_, i) => ({
    op: 'spec',
    run,
    part: [i + 1, of],
    // a copy: a view would keep all of it in memory once more
    bytes: bytes.slice(i * PART_BYTES, (i + 1) * PART_BYTES),
  }))
}

/** A part of another cut begins anew: the run was accepted again. */
export function addPart(known: SpecParts | undefined, { part: [number, of], bytes }: SpecOp): SpecParts {
  const spec = known === undefined || known.of !== of || number === 1 ? { of, parts: new Map() } : known
  spec.parts.set(number, bytes)
  return spec
}

/** The same parts again. */
export function partOps(run: string, { of, parts }: SpecParts): SpecOp[] {
  return [...parts].map(([number, bytes]) => ({ op: 'spec', run, part: [number, of], bytes }))
}

/** @returns null while a part is missing */
export function specOf(spec: SpecParts | undefined): Launch | null {
  if (spec === undefined || spec.parts.size !== spec.of) return null
  const parts = Array.from({ length: spec.of }, (_, i) => spec.parts.get(i + 1)!)
  return decode(Buffer.concat(parts), MSGPACK) as Launch
}
