/**
 * The form of a row of THE TABLE, and the parts that rows of several families share. The rows themselves
 * stand in the files beside this one, a family in each; ../table.ts joins them.
 */
import * as z from 'zod'
import type { FaultCode } from '../faults.ts'

/**
 * Who holds a credential. `renewal` is an agent whose own credential ends or has ended. `worker` is users'
 * code: nobody mints one before its library comes.
 */
export const ROLES = ['client', 'observer', 'agent', 'renewal', 'worker', 'coordinator'] as const
export type BusRole = (typeof ROLES)[number]

/**
 * request: core request-reply. gather: one request, a reply from each agent. durable: JetStream work queue.
 * event, state, archive, log: acknowledged append to a JetStream stream that is also delivered live. beat:
 * core, may be lost.
 */
export type Kind = 'request' | 'gather' | 'durable' | 'event' | 'state' | 'archive' | 'log' | 'beat'

export interface Row {
  /** below `troupe.v1.FLEET.`; `{x}` is one token */
  subject: string
  kind: Kind
  /** who may publish it */
  from: readonly BusRole[]
  /** who serves (request, durable) or may subscribe */
  to: readonly BusRole[]
  /** body; null: raw bytes */
  body: z.ZodType | null
  reply: z.ZodType | null
  /** how long the asker waits, ms */
  timeoutMs: number
  errors: readonly FaultCode[]
  doc: string
  /** an order that does nothing lasting when it runs late: it needs no `Troupe-Not-After` */
  untimed?: true
  /** an order that an agent obeys from any epoch, of any store */
  anyEpoch?: true
}
export function row<const R extends Row>(r: R): R {
  return r
}

export const Empty = z.object({})

/**
 * A launch document as it was sent: launch/document.ts validates and resolves it, so that its errors can
 * name path and line.
 */
export const AnyDocument = z.record(z.string(), z.unknown())
