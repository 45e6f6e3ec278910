/** A connection for the length of one command: the context that was typed, else the one in use. */
import { isUnserved } from '../../client/timing.ts'
import type { Troupe } from '../../client/troupe.ts'
import { Fault } from '../../protocol/faults.ts'
import { homeOf } from '../../system/paths.ts'
import type { Io } from './io.ts'

/** @throws {Fault} what `act` throws, CONN with what to type */
export async function withTroupe<T>(io: Io, act: (troupe: Troupe) => Promise<T>): Promise<T> {
  let isReached = false
  const troupe = await io.connect({
    home: homeOf(io.env),
    ...(io.context !== undefined && { context: io.context }),
    runsOf: io.runsOf,
    ...(io.connectTimeoutMs !== undefined && { connectTimeoutMs: io.connectTimeoutMs }),
    // later on the verb says what it waits for
    onTrouble: (trouble) => void (io.json || isReached || io.stderr(`${trouble.message}; trying on`)),
    // a program reads the run in the answer
    onChoice: (choice) => void (io.json || io.stderr(choice)),
  })
  isReached = true
  try {
    return await act(troupe)
  } catch (error) {
    throw isUnserved(error) && (error as Fault).message.includes('.coordinator.')
      ? new Fault('CONN', 'the bus is there, but no coordinator answers', {
          hint: 'start what is missing: troupe up',
          cause: error,
        })
      : error
  } finally {
    await troupe.close()
  }
}
