/**
 * The one line on stderr that is rewritten while something is awaited. On a stream that is no terminal it is
 * a line of its own, when a wait has been silent for long.
 */

/** How long a pending wait is silent on a stderr that is no terminal. */
export const HEARTBEAT_MS = 30_000

export function statusLine(
  stderr: NodeJS.WritableStream & { isTTY?: boolean; columns?: number },
  now: () => number,
) {
  let shown = ''
  let saidAt = -Infinity
  const line = {
    clear(): void {
      if (shown === '') return
      if (stderr.isTTY === true) stderr.write('\r\x1b[2K')
      shown = ''
    },
    /** something else is written to stderr now */
    interrupt(): void {
      line.clear()
      saidAt = now()
    },
    show(text: string): void {
      if (stderr.isTTY === true) {
        if (text === shown) return
        const room = Math.max(20, (stderr.columns ?? 80) - 1)
        stderr.write(`\r\x1b[2K${text.length > room ? `${text.slice(0, room - 1)}…` : text}`)
        shown = text
      } else if (now() - saidAt >= HEARTBEAT_MS) {
        saidAt = now()
        stderr.write(`${text}\n`)
      }
    },
  }
  return line
}
