/** What an exit alone does not say, in the same words for all readers. */
import type { Exit, Receipt, Saved, SaveState } from './shapes.ts'

/** A service that went to the background: what it left, and what to do. */
export function leftText({ left, killedBy }: Exit): string | null {
  return left === undefined || killedBy !== null
    ? null
    : `its root ended while ${left} ${left === 1 ? 'process' : 'processes'} of it ran: start it in the foreground`
}

/** What a root that ended by itself left running, and we ended. */
export function leftBehindText(receipt: Receipt | null): string | null {
  if (receipt?.left === undefined) return null
  const { processes, more } = receipt.left
  const count = processes.length + more
  const named = processes.map(
    ({ command, signal, handled }) => `${command} (${signal}${handled === true ? ', which it handled' : ''})`,
  )
  const [are, were] = count === 1 ? ['process', 'was'] : ['processes', 'were']
  return `${count} ${are} left after main exited ${were} ended: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}`
}

/** @param log  the role's pattern, as a status has it. @returns null where there is nothing to say */
export function savedText(
  save: SaveState | null | undefined,
  saved: Saved | null,
  log: string | undefined,
): string | null {
  switch (save) {
    case 'yes':
      return `saved after ${((saved?.ms ?? 0) / 1000).toFixed(1)} s`
    case 'no':
      return `did not say that it saved ("${log}" was not printed)`
    case 'unknown':
      return 'whether it saved is not known'
    case 'waiting':
      return 'has not said yet that it saved'
    default:
      return null
  }
}
