/**
 * Who holds a claim (an abstract unix socket): the kernel knows who listens there. A name that is bound and
 * not listened at is no claim, since every claim of ours listens.
 */
import { userInfo } from 'node:os'
import { isFault } from '../protocol/faults.ts'
import { runProgram } from '../system/run.ts'

/** uid; null: nobody listens there; unknown: it cannot be told now */
export type OwnerOf = (name: string) => Promise<number | null | 'unknown'>

const ASK_MS = 5000

/** @param shim  Node has no word for the credentials of a socket's peer */
export function ownersBy(shim: readonly string[]): OwnerOf {
  return async (name) => {
    try {
      const { stdout } = await runProgram([...shim, '--owner', name], { timeoutMs: ASK_MS })
      return /^\d+$/.test(stdout.trim()) ? Number(stdout) : 'unknown'
    } catch (error) {
      return isFault(error) && error.data['exit'] === 1 ? null : 'unknown'
    }
  }
}

/** The name of a Unix user, or `uid N` where the machine knows none. */
export async function userName(uid: number): Promise<string> {
  if (uid === process.getuid!()) return userInfo().username
  try {
    return (await runProgram(['id', '-nu', String(uid)], { timeoutMs: ASK_MS })).stdout.trim()
  } catch {
    return `uid ${uid}`
  }
}
