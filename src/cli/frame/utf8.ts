/** Text that somebody wrote: bytes that are no UTF-8 are refused, and not changed into something else. */
import { isUtf8 } from 'node:buffer'
import { Fault } from '../../protocol/faults.ts'

const SHOWN = 80

/** @throws {Fault} USAGE with the first line that is no UTF-8 */
export function textOf(bytes: Buffer, name: string): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  const lines = bytes.toString('latin1').split('\n')
  const at = lines.findIndex((line) => !isUtf8(Buffer.from(line, 'latin1')))
  const shown = lines[at]!.trim().slice(0, SHOWN)
  throw new Fault(
    'USAGE',
    `${name} holds bytes that are no UTF-8, in line ${at + 1}: '${shown.replaceAll(/[^\x20-\x7E]/g, escapeByte)}'`,
    { hint: 'a launch document is UTF-8 text, and can name no file whose name is not' },
  )
}

function escapeByte(byte: string): string {
  return `\\x${byte.charCodeAt(0).toString(16).padStart(2, '0')}`
}
