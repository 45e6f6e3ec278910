/** Messages of the client library as plain ones, and a handler that cannot end its reading of the socket. */
import type { Headers } from '../bus.ts'
import type { RawMessage } from './link.ts'

const NO_HEADERS: Headers = Object.freeze({})

/** Of a message of the client library, as much as is read. */
interface LibraryMessage {
  subject: string
  data: Uint8Array
  headers?: (Iterable<[string, string[]]> & { code: number; description: string }) | undefined
  reply?: string | undefined
}

/**
 * An exception here is a programmer's error: it must end the process, not the client's reading of its socket.
 */
export function guarded(onMessage: (message: RawMessage) => void) {
  return (error: Error | null, message: LibraryMessage): void => {
    if (error) return
    try {
      onMessage(rawOf(message))
    } catch (thrown) {
      queueMicrotask(() => {
        throw thrown
      })
    }
  }
}

function fromNats(headers: LibraryMessage['headers']): Headers {
  if (headers === undefined) return NO_HEADERS
  const result: Record<string, string> = {}
  // the server puts its own last: a stored message may carry headers of the same name
  for (const [key, values] of headers) result[key] = values.at(-1) ?? ''
  return result
}

function rawOf(message: LibraryMessage): RawMessage {
  return {
    subject: message.subject,
    body: message.data,
    headers: fromNats(message.headers),
    status: message.headers?.code ?? 0,
    statusText: message.headers?.description ?? '',
    reply: message.reply || undefined,
  }
}
