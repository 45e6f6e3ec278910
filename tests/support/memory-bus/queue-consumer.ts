/**
 * A connection's side of a durable consumer on a work queue: it asks for one message after the other, and
 * hands each to its reader with ack, working and nak.
 */
import type { Bus, QueuedMessage } from '../../../src/transport/bus.ts'
import type { Connection } from './connection.ts'
import { memoryQueue, type MemoryQueue, type Puller } from './queue.ts'
import type { StoredMessage } from './stream.ts'

const PULL_AGAIN_MS = 1000

export async function consumeQueueOn(
  connection: Connection,
  stream: string,
  durable: string,
  ackWaitMs: number,
  onMessage: (message: QueuedMessage) => Promise<void>,
): ReturnType<Bus['consumeQueue']> {
  const { server } = connection
  const key = `${stream}/${durable}`
  const queueOf = (): MemoryQueue => {
    const source = server.streamNamed(stream)
    const queue = server.queues.get(key) ?? memoryQueue(source, ackWaitMs, server.clock)
    server.queues.set(key, queue)
    return queue
  }
  await connection.call('manage', stream, () => void queueOf())
  let stopped = false
  let busy = false
  const finished = (): void => {
    busy = false
    pull()
  }
  const puller: Puller = {
    deliver: (message, copy) => {
      if (stopped || !connection.isOpen) return false
      connection.fromServer(() => {
        server.tell('delivered', 'server', message, { to: connection.name, stream, seq: message.seq, copy })
        if (stopped || busy) return
        busy = true
        onMessage(queuedOn(connection, stream, message, queueOf)).then(finished, finished)
      }, 0)
      return true
    },
  }
  const pull = (): void => {
    if (stopped || busy || connection.isClosed) return
    // asked again for as long as nothing came: the consumer may have been lost with its store, or the
    // request with the link
    connection.clock.after(PULL_AGAIN_MS, pull)
    if (!connection.connected || !connection.leave('read', stream)) return
    connection.toServer(() => {
      try {
        queueOf().pull(puller)
      } catch {
        // no stream yet: asked again
      }
    })
  }
  pull()
  return () => {
    stopped = true
    return Promise.resolve()
  }
}

function queuedOn(
  connection: Connection,
  stream: string,
  message: StoredMessage,
  queueOf: () => MemoryQueue,
): QueuedMessage {
  const tell = (what: 'ack' | 'working' | 'nak'): void => {
    if (connection.connected && connection.leave('ack', message.subject))
      connection.toServer(() => {
        if (connection.server.streams.has(stream)) queueOf()[what](message.seq)
      })
  }
  return {
    ...connection.stored(message),
    ack: () => connection.call('ack', message.subject, () => queueOf().ack(message.seq)),
    working: () => tell('working'),
    nak: () => tell('nak'),
  }
}
