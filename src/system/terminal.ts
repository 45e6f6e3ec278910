/**
 * What text does to a terminal: a carriage return writes over what stands there, and control sequences do
 * more than show characters. Owns how such text reads, and the form of it that a terminal may be given.
 */
const ESCAPE = '\u001b'
const RESET = `${ESCAPE}[0m`
/** Colour and weight (SGR), erasing to the end of a line, or one character. */
const PIECES = /\p{Cc}\[[\d;:]*[mK]|[^]/gu
const COLOURS = /\p{Cc}\[[\d;:]*[mK]/gu
const CONTROLS = /\p{Cc}\[[\d;:]*m|\p{Cc}/gu
/** The last SGR of a line that leaves no colour on: ours end with these, too. */
const CLOSED = /^(?:0*|39|49|22)$/
/** Of a longer line the end is read. */
const LINE_CHARS_MAX = 64 * 1024

/** A line as it stands after its carriage returns, such as the last state of a progress bar. */
export function afterReturns(line: string): string {
  if (!line.includes('\r')) return line
  const cells: string[] = []
  for (const part of line.slice(-LINE_CHARS_MAX).split('\r')) {
    let at = 0
    let colour = ''
    for (const piece of part.match(PIECES) ?? []) {
      const isSequence = piece.length > 2 && piece.startsWith(ESCAPE)
      if (isSequence && piece.endsWith('m')) colour += piece
      else if (isSequence) cells.length = piece.includes('2') ? 0 : Math.min(at, cells.length)
      else {
        while (cells.length < at) cells.push(' ')
        cells[at++] = colour + piece
        colour = ''
      }
    }
    if (colour !== '' && at > 0) cells[at - 1] += colour
  }
  return cells.join('').trimEnd()
}

/** A line as its pieces between carriage returns, without colour; none of a line that is as it reads. */
export function piecesOf(line: string): string[] {
  if (!line.includes('\r') && !line.includes(ESCAPE)) return []
  return line
    .replace(COLOURS, (found) => (found.startsWith(ESCAPE) ? '' : found))
    .split('\r')
    .filter((piece) => piece !== '')
}

/**
 * Text that a terminal may be given, whoever wrote it: colour stays and ends with its line, every other
 * control character but tab and newline is shown as an escape.
 */
export function visible(text: string): string {
  return text.split('\n').map(visibleLine).join('\n')
}

function visibleLine(line: string): string {
  let last: string | null = null
  const shown = line.replace(CONTROLS, (found) => {
    if (found === '\t') return found
    if (found.length > 1 && found.startsWith(ESCAPE)) {
      last = found.slice(2, -1)
      return found
    }
    return Array.from(found, (one) => (/\p{Cc}/u.test(one) ? escaped(one) : one)).join('')
  })
  return last === null || CLOSED.test(last) ? shown : `${shown}${RESET}`
}

/** Text of others as one line without any control character, nor one that turns its direction. */
export function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu, (found) =>
    found === '\n' ? '\\n' : escaped(found),
  )
}

function escaped(character: string): string {
  const code = character.charCodeAt(0).toString(16)
  // in this form it may stand in JSON, where those below 0x20 are escaped already
  return code.length > 2 || (code.length === 2 && code >= '7f')
    ? `\\u${code.padStart(4, '0')}`
    : `\\x${code.padStart(2, '0')}`
}
