/**
 * Regular expressions that users write, in RE2 syntax and matched in linear time: `/^(a+)+$/` on 28
 * characters would block Node's own engine for seconds.
 */
import { RE2JS } from 're2js'
import { Fault } from '../faults.ts'

const PATTERN_CHARS_MAX = 1000

/**
 * @returns   whether a text contains a match
 * @throws {Fault} SPEC_INVALID when the text is no expression of RE2
 */
export function matcherOf(pattern: string): (text: string) => boolean {
  if (pattern.length > PATTERN_CHARS_MAX)
    throw new Fault('SPEC_INVALID', `a pattern of ${pattern.length} characters; at most ${PATTERN_CHARS_MAX}`)
  try {
    const compiled = RE2JS.compile(pattern)
    return (text) => compiled.matcher(text).find()
  } catch (error) {
    throw new Fault(
      'SPEC_INVALID',
      `'${pattern}' is no regular expression (RE2): ${(error as Error).message}`,
    )
  }
}
