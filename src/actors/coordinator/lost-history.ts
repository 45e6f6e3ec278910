/**
 * Is the end of the state log missing? The newest run that was told as accepted was in it before it was told:
 * it is there still, or in the archive.
 */
import { subjectOf, wildcardOf } from '../../protocol/subjects.ts'
import { streamOf } from '../../protocol/table.ts'
import type { Messenger } from '../../transport/messenger.ts'

/**
 * @param isKnown  whether the state log, as it is now, has this run
 * @returns the missing run, in words; null: no loss is known. @throws {Fault} CONN, TIMEOUT
 */
export async function findLostRun(
  { bus, fleet, read }: Messenger,
  isKnown: (run: string) => boolean,
): Promise<string | null> {
  const accepted = wildcardOf(fleet, 'event.run', { what: 'accepted' })
  const message = await bus.getLast(streamOf(fleet, 'EVENT'), accepted, 'leader')
  const event = message === null ? null : read('event.run', message)
  if (event === null || isKnown(event.body.run)) return null
  const { run, at } = event.body
  const archived = await bus.getLast(
    streamOf(fleet, 'ARCHIVE'),
    subjectOf(fleet, 'archive', { run, part: '0' }),
    'leader',
  )
  if (archived !== null) return null
  return `run ${run} was accepted at ${new Date(at).toISOString()}, and is neither in it nor in the archive`
}
