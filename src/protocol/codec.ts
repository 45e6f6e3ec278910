/**
 * Bytes and values: msgpack between actors, JSON for everybody else. The one file that imports msgpackr. Byte
 * 0xc1 decodes without error and `undefined` encodes as an extension, so only the schema proves validity.
 */
import { Packr, Unpackr } from 'msgpackr'
import { Fault } from './faults.ts'
import { MSGPACK } from './table.ts'

export type Form = 'msgpack' | 'json'

const packr = new Packr({ useRecords: false, variableMapSize: true })
/** A reference to what came before makes of 300 bytes a value that takes minutes to walk: there are none. */
const unpackr = new Unpackr({ useRecords: false, structuredClone: false })

/**
 * The bound of one message: max_payload in the configuration that we write for a server, headers included.
 * Larger ones, and ones that are nested deeper than DEPTH_MAX, are refused before they are looked at.
 */
export const PAYLOAD_BYTES_MAX = 4 * 1024 * 1024
const DEPTH_MAX = 32

export function encode(value: unknown, form: Form): Uint8Array {
  return form === 'msgpack'
    ? new Uint8Array(packr.pack(dropUndefined(value)))
    : new TextEncoder().encode(JSON.stringify(value, bytesAsBase64))
}

/**
 * @param contentType  no content type means JSON
 * @throws {Fault} REQUEST_INVALID when the bytes are no such thing, too many or nested too deep
 */
export function decode(bytes: Uint8Array, contentType: string | undefined): unknown {
  if (bytes.length > PAYLOAD_BYTES_MAX)
    throw new Fault(
      'REQUEST_INVALID',
      `a body of ${bytes.length} bytes; at most ${PAYLOAD_BYTES_MAX} are read`,
    )
  if (bytes.length === 0) return {}
  try {
    const value: unknown =
      formOf(contentType) === 'msgpack'
        ? unpackr.unpack(Uint8Array.from(bytes))
        : JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
    checkTree(value, DEPTH_MAX)
    return value
  } catch (error) {
    if (error instanceof Fault) throw error
    throw new Fault(
      'REQUEST_INVALID',
      `the body is not ${formOf(contentType) === 'msgpack' ? 'msgpack' : 'JSON'}: ${(error as Error).message}`,
      {
        hint: `bodies are JSON, or msgpack with the header Content-Type: ${MSGPACK}`,
      },
    )
  }
}

export function formOf(contentType: string | undefined): Form {
  return contentType === MSGPACK ? 'msgpack' : 'json'
}

/** Lists and objects alone: msgpack's extension types (sets, expressions) hide depth, and are no JSON. */
function checkTree(value: unknown, left: number): void {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return
  if (left === 0) throw new Fault('REQUEST_INVALID', `nested deeper than ${DEPTH_MAX}`)
  if (!Array.isArray(value) && Object.getPrototypeOf(value) !== Object.prototype)
    throw new Fault('REQUEST_INVALID', `a ${value.constructor.name} stands in it, which is no JSON`)
  for (const child of Object.values(value)) checkTree(child, left - 1)
}

function dropUndefined(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(dropUndefined)
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return value
  const result: Record<string, unknown> = {}
  for (const [key, child] of Object.entries(value))
    if (child !== undefined) result[key] = dropUndefined(child)
  return result
}

function bytesAsBase64(_: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value).toString('base64') : value
}
