/**
 * Requests over one connection: a private inbox, the table of those that wait, and their faults.
 *
 * The client library's own request is not used: it leaves requests waiting when the link breaks, and an
 * exception in a subscriber's callback ends its reading of the socket for good.
 */
import { randomBytes } from 'node:crypto'
import { Fault } from '../../protocol/faults.ts'
import type { Connection, Link, RawMessage, Violation } from './link.ts'

interface Pending {
  subject: string
  onReply(message: RawMessage): boolean
  resolve(): void
  reject(fault: Fault): void
  timer: NodeJS.Timeout
}

export function exchangeOn(connection: Connection, inboxPrefix: string): Link['exchange'] {
  const own = `${inboxPrefix}.${randomBytes(9).toString('base64url')}`
  const pending = new Map<string, Pending>()
  let tokens = 0
  let inboxRefused = false

  const settle = (token: string): Pending | undefined => {
    const entry = pending.get(token)
    if (entry !== undefined) {
      pending.delete(token)
      clearTimeout(entry.timer)
    }
    return entry
  }
  const rejectAll = (fault: () => Fault): void => {
    for (const token of pending.keys()) settle(token)?.reject(fault())
  }

  connection.subscribe(`${own}.*`, (raw) => {
    const token = raw.subject.slice(own.length + 1)
    const entry = pending.get(token)
    if (entry === undefined) return
    if (raw.status === 503 && raw.body.length === 0) settle(token)?.reject(unserved(entry.subject))
    else if (entry.onReply(raw)) settle(token)?.resolve()
  })
  connection.onLink((up) => void (up || rejectAll(() => brokenLink(connection))))
  /**
   * The server names the subject that it refused, not the message: the oldest request on that subject is the
   * one.
   */
  connection.onViolation((violation) => {
    const { operation, subject } = violation
    if (operation === 'subscription' && subject.startsWith(`${own}.`)) {
      inboxRefused = true
      rejectAll(() => refused(violation))
    } else if (operation === 'publish') {
      for (const [token, entry] of pending)
        if (entry.subject === subject) return void settle(token)?.reject(refused(violation))
    }
  })

  return (subject, body, { headers, timeoutMs }, onReply) =>
    new Promise<void>((resolve, reject) => {
      if (!connection.connected) return reject(connection.down())
      if (inboxRefused) return reject(inboxFault(inboxPrefix))
      const token = (tokens++).toString(36)
      const timer = setTimeout(() => settle(token)?.reject(unanswered(subject, timeoutMs)), timeoutMs)
      pending.set(token, { subject, onReply, resolve, reject, timer })
      try {
        connection.send(subject, body, headers, `${own}.${token}`)
      } catch (error) {
        settle(token)
        reject(error as Fault)
      }
    })
}

function unserved(subject: string): Fault {
  return new Fault('CONN', `nobody serves '${subject}'`, { data: { reason: 'no-responders' } })
}

function unanswered(subject: string, timeoutMs: number): Fault {
  return new Fault(
    'TIMEOUT',
    `no answer on '${subject}' within ${timeoutMs} ms; whether it was done is not known`,
  )
}

function brokenLink(connection: Connection): Fault {
  return new Fault(
    'TIMEOUT',
    `the link to the bus at ${connection.where} broke before the answer came; whether it was done is not known`,
    { data: { reason: 'link' } },
  )
}

function refused({ operation, subject }: Violation): Fault {
  const what = operation === 'publish' ? 'publishing on' : 'subscribing to'
  return new Fault('PERMISSION', `the server refuses ${what} '${subject}' with this credential`, {
    data: { operation, subject },
  })
}

function inboxFault(inboxPrefix: string): Fault {
  return new Fault('PERMISSION', `the server refuses the inbox '${inboxPrefix}.>' to this credential`)
}
