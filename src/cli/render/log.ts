/** Log items to where they belong: the worker's stdout to ours, its stderr to ours; gaps are talk. */
import { afterReturns, visible } from '../../system/terminal.ts'
import type { LogItem } from '../../client/logs/items.ts'
import type { Io } from '../frame/io.ts'

export interface LogForm {
  /** `[trainer/3]` in front of each line */
  prefix: boolean
  /** all on stderr: stdout is kept for one JSON document */
  stderrOnly?: boolean
}

const NEWLINE = Buffer.from('\n')

export function writeLog(io: Io, item: LogItem, { prefix, stderrOnly = false }: LogForm): void {
  if (item.kind === 'chunk') return io.stdout(item.bytes)
  if (item.kind === 'gap') {
    const range = item.to === null ? `from byte ${item.offset} on` : `bytes ${item.offset} to ${item.to}`
    return io.stderr(
      io.paint('yellow', `${item.prefix} gap in ${item.source}, ${range}: ${item.why}`, 'stderr'),
      { always: true },
    )
  }
  const toStderr = stderrOnly || item.stream === 'stderr'
  const stream = toStderr ? 'stderr' : 'stdout'
  const head = prefix ? `${io.paint('cyan', item.prefix, stream)} ` : ''
  // a terminal gets lines and their colour, not what else they do to it; a pipe and a file get the bytes
  const isShown = toStderr ? io.errTty : io.isTty
  const text = isShown ? visible(afterReturns(item.text)) : item.text
  if (toStderr)
    io.line([
      head,
      io.errTty && item.stream === 'stderr' ? io.paint('red', text, 'stderr') : isShown ? text : item.bytes,
    ])
  else io.stdout(Buffer.concat([Buffer.from(head), isShown ? Buffer.from(text) : item.bytes, NEWLINE]))
}

/** One item as a line of JSON. */
export function logJson(item: LogItem): string {
  const { bytes, ...rest } = item as LogItem & { bytes?: Uint8Array }
  return `${JSON.stringify(item.kind === 'chunk' ? { ...rest, bytes: Buffer.from(bytes!).toString('base64') } : rest)}\n`
}
