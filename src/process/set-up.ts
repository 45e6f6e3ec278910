/**
 * The set-up of a worker: the one shell text that we write, and the file by which a failed set-up is told
 * from a command that failed.
 *
 * Both are one process with one exit. The file is written at `prepare`, full, so that a full disk cannot tell
 * a lie: emptied means passed. Until then the set-up is what runs, and bash adds the command that ends it.
 */
import { writeFileSync } from 'node:fs'
import { readPlainSync } from '../system/files.ts'

/** The command as eval sees it: then the set-up's own text is at fault (an open quote). */
const WHOLE = 'eval "$troupe_setup"'

/**
 * The first command of the set-up that fails ends the worker with its code. `set +e` in the set-up turns that
 * off, and with it the name of the command. The set-up is an argument of eval, so an open quote or
 * here-document in it can only break itself, and the worker gets its argv as `"$@"`.
 *
 * bash -c SET_UP troupe SETUP FILE CMD…
 */
export const SET_UP = [
  // After an `exit` in eval, BASH_COMMAND is what it was before this text: the last command of $BASH_ENV, or
  // of ~/.bashrc, which bash reads when its stdin is a socket. A group's redirection still sees that.
  `{ IFS= read -rd '' troupe_before; troupe_before=\${troupe_before%?}; } <<<"$BASH_COMMAND"`,
  'troupe_setup=$1 troupe_file=$2; shift 2; set -e',
  `troupe_say='printf "%s\\n" "$BASH_COMMAND" 2>/dev/null >>"$troupe_file"'`,
  'trap "[[ \\$- != *e* ]] || $troupe_say" ERR',
  // Bash ends without that trap at a missing file to source or an unset variable. This one runs then.
  'trap "[[ \\$BASH_COMMAND == \\"\\$troupe_before\\" ]] || $troupe_say" EXIT; unset troupe_say',
  WHOLE,
  // noclobber may be on, and the spool may be gone: that is no failure of the set-up
  'trap - ERR EXIT; true 2>/dev/null >|"$troupe_file" || true',
  'unset troupe_setup troupe_file troupe_before; exec "$@"',
].join('; ')

const BEGUN = 'begun\n'
const STEP_CHARS_MAX = 100
const STEP_BYTES_MAX = 4096

export function writeSetUp(file: string): void {
  return writeFileSync(file, BEGUN, { mode: 0o600 })
}

/**
 * @returns null when it was passed or there is none; else the command that failed, empty when nobody said
 * which (an `exit`, a signal)
 */
export function readSetUp(file: string): string | null {
  let text: string
  try {
    text = readPlainSync(file, 'utf8', STEP_BYTES_MAX)
  } catch {
    return null
  }
  if (!text.startsWith(BEGUN)) return null
  const step = text.slice(BEGUN.length).split('\n', 1)[0]!.trim()
  return step === WHOLE ? '' : step.slice(0, STEP_CHARS_MAX)
}
