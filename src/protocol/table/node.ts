/**
 * Rows of orders to one incarnation of a node, `node.VERB`, and of requests to all nodes.
 * core/agent/obey-orders.ts obeys each order.
 */
import * as z from 'zod'
import { Cause } from '../causes.ts'
import { NextField, PageFields } from '../pages.ts'
import { Bindings, ForkSpec } from '../launch/resolved.ts'
import {
  Epoch,
  ForkId,
  ForkReport,
  Index,
  Millis,
  Name,
  NodeCapacity,
  SignalAim,
  SignalName,
} from '../shapes.ts'
import { Empty, row, type Row } from './row.ts'

const order = { kind: 'request', from: ['coordinator'], to: ['agent'], timeoutMs: 1000 } as const

const Forks = z.object({ forks: z.array(ForkReport) })

export const NODE_ROWS = {
  'node.prepare': row({
    ...order,
    subject: 'node.{node}.{incarnation}.prepare',
    body: z.object({ forks: z.array(ForkSpec), lapseMs: Millis }),
    reply: Forks.extend({ token: z.string() }),
    errors: [
      'PORT_ALLOC',
      'GPU_ALLOC',
      'SPOOL',
      'WORKER_CONFIG',
      'CANCELLED',
      'EXPIRED',
      'STALE_EPOCH',
      'STORE_UNKNOWN',
      'OVERLOADED',
    ],
    doc:
      'Lease ports, GPUs and cores, and make the spools, for some forks of one gang: all or none. The ' +
      'leases lapse after `lapseMs`.',
  }),
  'node.start': row({
    ...order,
    subject: 'node.{node}.{incarnation}.start',
    body: z.object({ token: z.string(), forks: z.array(z.object({ forkId: ForkId, bindings: Bindings })) }),
    reply: Forks,
    errors: [
      'EXPIRED',
      'CANCELLED',
      'WORKER_CREATE',
      'WORKER_CONFIG',
      'STALE_EPOCH',
      'STORE_UNKNOWN',
      'OVERLOADED',
    ],
    doc:
      'Start prepared forks. A fork that has started before is reported as it is and never started ' +
      'again. A fork that cannot start is reported with `startFault`.',
  }),
  'node.kill': row({
    ...order,
    subject: 'node.{node}.{incarnation}.kill',
    body: z.object({
      forks: z.array(
        z.object({ forkId: ForkId, signal: SignalName.nullable(), graceMs: Millis, killedBy: Cause }),
      ),
    }),
    reply: Forks,
    errors: ['EXPIRED', 'STALE_EPOCH', 'STORE_UNKNOWN'],
    doc:
      'Begin the stop ladder. With `signal` null the ladder begins at SIGKILL, and a fork that is only ' +
      'prepared is cancelled. A second order can only shorten the grace. The event `gone` ends the ' +
      'ladder.',
  }),
  'node.cancel': row({
    ...order,
    subject: 'node.{node}.{incarnation}.cancel',
    body: z.object({ forks: z.array(ForkId), killedBy: Cause }),
    reply: Forks,
    errors: ['EXPIRED', 'STALE_EPOCH', 'STORE_UNKNOWN'],
    doc:
      'Refuse these fork ids for ever, known or not. A fork that runs is killed with grace 0. A reply ' +
      'with phase `cancelled` or `gone` proves that nothing of the fork runs or will run.',
  }),
  'node.signal': row({
    ...order,
    subject: 'node.{node}.{incarnation}.signal',
    body: z.object({
      forkId: ForkId,
      signal: SignalName,
      rank: Index.nullable(),
      to: SignalAim.optional(),
      force: z.boolean().optional(),
      by: Name.optional(),
    }),
    reply: Empty,
    errors: ['WORKER_NOT_FOUND', 'FAILED', 'EXPIRED', 'STALE_EPOCH', 'STORE_UNKNOWN'],
    doc: 'Send one signal to a root process, a rank, all ranks or the tree; FAILED where it would end who gets it.',
  }),
  'node.release': row({
    ...order,
    subject: 'node.{node}.{incarnation}.release',
    body: z.object({ forks: z.array(ForkId) }),
    reply: Empty,
    errors: ['STALE_EPOCH', 'STORE_UNKNOWN'],
    doc:
      'STATE holds the end of these forks, so the agent forgets them. Logs stay as long as retention ' +
      'says; tombstones stay.',
    untimed: true,
  }),
  'node.inventory': row({
    ...order,
    subject: 'node.{node}.{incarnation}.inventory',
    body: z.object(PageFields),
    reply: z.object({
      rev: z.number().int(),
      pid: z.number().int(),
      capacity: NodeCapacity,
      forks: z.array(ForkReport),
      epoch: Epoch.nullable(),
      ...NextField,
    }),
    errors: [],
    doc:
      'The node’s capacity, and every fork of its spool that is not released: in pages, by id. `rev` counts ' +
      'the node’s facts at this page; for the whole inventory that of the first page counts.',
    untimed: true,
    anyEpoch: true,
  }),
  'node.adopt': row({
    ...order,
    subject: 'node.{node}.{incarnation}.adopt',
    body: z.object({ storeId: z.string() }),
    reply: Empty,
    errors: [],
    doc: 'Accept a new state store. The coordinator gives this order only when a person asks for it.',
    untimed: true,
    anyEpoch: true,
  }),
  'nodes.resync': row({
    kind: 'gather',
    from: ['coordinator'],
    to: ['agent'],
    subject: 'nodes.resync',
    body: Empty,
    reply: null,
    timeoutMs: 1000,
    errors: [],
    doc: 'A new leader asks every agent to beat now.',
  }),
} as const satisfies Record<string, Row>
