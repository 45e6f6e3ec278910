/** Why a fork failed before its program did anything, as far as the program's own file says so. */
import type { HostExit } from '../protocol/host.ts'
import { readExecFile } from './exec-file.ts'
import { lacksModule, whichPython } from './which-python.ts'
import { foreignProgram, whyNotExecuted } from './not-executed.ts'
import type { ForkFacts } from './observer.ts'
import { fileOf } from './spool.ts'

const NOT_EXECUTED: ReadonlySet<number | null> = new Set([126, 127])
/** What shells end with that cannot read their script. */
const NO_SCRIPT: ReadonlySet<number | null> = new Set([2, 126, 127])

/** What can be said of the program of a fork that failed, or of its ranks. */
export function whyNotRun(
  forkDir: string,
  { ranks, record, stderrTail }: ForkFacts,
  { code }: HostExit,
  ofRank: boolean,
  callerPath: string | undefined,
): string | null {
  const isOtherPython = code === 1 && stderrTail.some(lacksModule)
  // torchrun itself ends with 1, however its ranks do
  const noScript = ofRank
    ? ranks.some(({ exit }) => exit !== null && NO_SCRIPT.has(exit.code))
    : NO_SCRIPT.has(code)
  if (!noScript && !isOtherPython) return null
  const exec = readExecFile(fileOf.exec(forkDir))
  const program = ofRank ? exec?.argv[exec.argv.indexOf('--rank') + 2] : exec?.argv[0]
  if (exec === null || program === undefined) return null
  if (isOtherPython) return whichPython(program, exec, callerPath)
  const notExecuted = ofRank
    ? ranks.some(({ exit, pid }) => exit !== null && NOT_EXECUTED.has(exit.code) && pid === null)
    : record.child === null && NOT_EXECUTED.has(code)
  return (notExecuted ? whyNotExecuted : foreignProgram)(program, exec.cwd, exec.env['PATH'])
}
