/** What would help a run that waits: the fact, and what to type. Pure: text from a status. */
import type { RunStatus } from '../../protocol/shapes.ts'

export function helpLines({ help }: Pick<RunStatus, 'help'>): string[] {
  if (help === undefined) return []
  return [
    ...(help.text === null ? [] : [`  ${help.text}`]),
    ...(help.next === null ? [] : [`  next: ${help.next}`]),
  ]
}
