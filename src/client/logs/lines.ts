/**
 * Bytes of one source into lines. Pure. Keeps what has no newline yet, at most LINE_BYTES_MAX: a longer line
 * comes in pieces.
 */
const NEWLINE = 10
const LINE_BYTES_MAX = 8 * 1024 * 1024

export interface Line {
  offset: number
  bytes: Uint8Array
}

export interface LineSplitter {
  /** @returns the lines that `bytes` (which begin at `offset`) complete */
  push(offset: number, bytes: Uint8Array): Line[]
  /** what has no newline, or null */
  flush(): Line | null
}

export function lineSplitter(): LineSplitter {
  let held: Uint8Array[] = []
  let heldBytes = 0
  let heldAt = 0
  const take = (): Uint8Array => {
    const bytes = held.length === 1 ? held[0]! : Buffer.concat(held)
    held = []
    heldBytes = 0
    return bytes
  }
  const hold = (offset: number, bytes: Uint8Array): void => {
    if (bytes.length === 0) return
    if (heldBytes === 0) heldAt = offset
    held.push(bytes)
    heldBytes += bytes.length
  }
  return {
    push(offset, bytes) {
      const lines: Line[] = []
      let from = 0
      for (let at = bytes.indexOf(NEWLINE); at !== -1; at = bytes.indexOf(NEWLINE, from)) {
        hold(offset + from, bytes.subarray(from, at))
        lines.push(
          heldBytes === 0
            ? { offset: offset + from, bytes: new Uint8Array(0) }
            : { offset: heldAt, bytes: take() },
        )
        from = at + 1
      }
      hold(offset + from, bytes.subarray(from))
      if (heldBytes >= LINE_BYTES_MAX) lines.push({ offset: heldAt, bytes: take() })
      return lines
    },
    flush: () => (heldBytes === 0 ? null : { offset: heldAt, bytes: take() }),
  }
}
