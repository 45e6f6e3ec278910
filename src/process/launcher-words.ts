/**
 * What launchers say of the end of others: torchrun's tracebacks when it was told to stop or a rank failed,
 * and its summary, which names our shim. The words of the program itself stand before these.
 */
const TRACEBACK = 'Traceback (most recent call last):'
/** The last line of a traceback that tells nothing new. */
const TELLS_OF_OTHERS = /\bSignalException: Process \d+ got signal|\bChildFailedError:/
const TALK = / of binary: \S*\/shim-|closing signal SIG|death signal, shutting down workers/
const RULE = /^\s*={8,}$/

export function withoutLaunchers(lines: readonly string[]): string[] {
  const own: string[] = []
  for (let at = 0; at < lines.length; at++) {
    const line = lines[at]!
    if (TALK.test(line)) continue
    const end = line.trim() === TRACEBACK ? endOfTraceback(lines, at) : null
    if (end === null || !TELLS_OF_OTHERS.test(lines[end]!)) own.push(line)
    else at = endOfSummary(lines, end)
  }
  return own
}

/** The first line behind it that is not indented: the exception. */
function endOfTraceback(lines: readonly string[], from: number): number | null {
  const end = lines.findIndex((line, at) => at > from && line !== '' && !/^\s/.test(line))
  return end < 0 ? null : end
}

/** Between two rules, behind the exception; the exception itself when there is none. */
function endOfSummary(lines: readonly string[], exception: number): number {
  if (!RULE.test(lines[exception + 1] ?? '')) return exception
  const end = lines.findIndex((line, at) => at > exception + 1 && RULE.test(line))
  return end < 0 ? lines.length : end
}
