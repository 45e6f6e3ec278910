/** The two ends of a connection to a nats-server. */
import type { Socket } from 'node:net'
import type { LinkEnds } from '../../protocol/host.ts'

/**
 * The client library has no word for the address that the kernel chose: its socket is the one that knows.
 *
 * @param connection  as the library made it
 * @param server      where the server says it listens
 */
export function endsOf(connection: object, server: string): LinkEnds | null {
  const { protocol } = connection as { protocol?: { transport?: { socket?: Socket } } }
  const local = protocol?.transport?.socket?.localAddress
  return local === undefined ? null : { local, server }
}
