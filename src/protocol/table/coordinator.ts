/** Rows of requests to the coordinator: `coordinator.VERB`. core/coordinator/requests.ts answers each. */
import * as z from 'zod'
import { NextField, PageFields } from '../pages.ts'
import { Launch } from '../launch/resolved.ts'
import { Index, Name, RunStatus, SignalAim, SignalName, Target } from '../shapes.ts'
import { RunSummary } from '../run-summary.ts'
import { NodeInfo } from '../node-info.ts'
import { AnyDocument, Empty, row, type Row } from './row.ts'

const ask = { kind: 'request', from: ['client'], to: ['coordinator'], timeoutMs: 1000 } as const
const read = { kind: 'request', from: ['client', 'observer'], to: ['coordinator'], timeoutMs: 1000 } as const

const Accepted = z.object({
  /** workers that the order is for; empty when it was done already */
  workers: z.array(z.string()),
})
const Line = z.object({ subject: z.string(), text: z.string(), next: z.string().nullable() })

export const COORDINATOR_ROWS = {
  'coordinator.launch': row({
    ...ask,
    subject: 'coordinator.launch.{user}',
    body: AnyDocument,
    reply: z.object({ run: Name, existing: z.boolean() }),
    errors: ['SPEC_INVALID', 'PLAN_INVALID', 'KEY_CONFLICT', 'OVERLOADED', 'NOT_LEADER'],
    doc:
      'Launch a run. `Troupe-Key` makes it idempotent: the same key and document get the same answer for ' +
      '48 h.',
  }),
  'coordinator.plan': row({
    ...read,
    subject: 'coordinator.plan.{user}',
    body: z.object({ document: AnyDocument, ...PageFields }),
    reply: z.object({
      launch: Launch.nullable(),
      plan: z.array(z.string()),
      placements: z.array(z.object({ worker: z.string(), node: z.string().nullable() })),
      ...NextField,
    }),
    errors: ['SPEC_INVALID', 'PLAN_INVALID'],
    doc:
      'Resolve a document and say what a launch would do. Nothing is launched. `launch` and `plan` come with ' +
      'the first page, `placements` in pages.',
  }),
  'coordinator.stop': row({
    ...ask,
    subject: 'coordinator.stop.{user}',
    body: Target.extend({ force: z.boolean().optional() }),
    reply: Accepted,
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER', 'OVERLOADED'],
    doc:
      'Stop by each role’s ladder, in stop order. `force` also ends workers whose node is lost; their ' +
      'receipts are `unverified`.',
  }),
  'coordinator.kill': row({
    ...ask,
    subject: 'coordinator.kill.{user}',
    body: Target.extend({ force: z.boolean().optional() }),
    reply: Accepted,
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER', 'OVERLOADED'],
    doc: 'Stop with grace 0.',
  }),
  'coordinator.signal': row({
    ...ask,
    subject: 'coordinator.signal.{user}',
    body: Target.extend({
      signal: SignalName,
      rank: Index.optional(),
      to: SignalAim.optional(),
      force: z.boolean().optional(),
    }),
    reply: Accepted.extend({
      /** workers that did not get it, and why; the first twenty */
      refused: z.array(z.object({ worker: z.string(), reason: z.string() })).optional(),
    }),
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER', 'OVERLOADED', 'FAILED'],
    doc:
      'Send a signal once: to the root process of a task or service, to the ranks of a torchrun role, to one ' +
      'rank, or as `to` says. A process that has no handler for it, and that it would end, does not get it ' +
      '(FAILED) unless `force` is there.',
  }),
  'coordinator.status': row({
    ...read,
    subject: 'coordinator.status.{user}',
    body: Target.extend(PageFields),
    reply: RunStatus.extend(NextField),
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER'],
    doc:
      'Everything that the coordinator knows about a run. Its workers come in pages, with their stragglers: ' +
      'all of them, those of a role, or one.',
  }),
  'coordinator.list': row({
    ...read,
    subject: 'coordinator.list.{user}',
    body: z.object({ all: z.boolean().optional(), ...PageFields }),
    reply: z.object({ runs: z.array(RunSummary), partial: z.string().nullable(), ...NextField }),
    errors: ['NOT_LEADER'],
    doc:
      'Live runs in pages, newest first; with `all` the archived ones follow, last ended first. `partial` says ' +
      'why runs are missing.',
  }),
  'coordinator.explain': row({
    ...read,
    subject: 'coordinator.explain.{user}',
    body: Target,
    reply: z.object({ lines: z.array(Line) }),
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER'],
    doc: 'Why a run is where it is: the cause, the clock that is ticking, and the next check.',
  }),
  'coordinator.nodes': row({
    ...read,
    subject: 'coordinator.nodes.{user}',
    body: z.object(PageFields),
    reply: z.object({ nodes: z.array(NodeInfo), ...NextField }),
    errors: ['NOT_LEADER'],
    doc: 'The nodes that this coordinator has heard from, in pages, by name.',
  }),
  'coordinator.answer': row({
    ...read,
    subject: 'coordinator.answer.{user}',
    body: z.object({ key: z.string() }),
    reply: z.object({ run: Name.nullable(), fault: z.record(z.string(), z.unknown()).nullable() }),
    errors: ['WORKER_NOT_FOUND', 'NOT_LEADER'],
    doc:
      'The answer that the launch with this key got. A launch that was sent without a key has one too: ' +
      'the stream sequence of a durable launch, the `key` in the event of any other.',
  }),
  'coordinator.adopt': row({
    ...ask,
    subject: 'coordinator.adopt.{user}',
    body: z.object({ node: Name }),
    reply: Empty,
    errors: ['NODE_NOT_FOUND', 'NOT_LEADER'],
    doc: 'The state store was made anew: let a node accept it.',
  }),
  'coordinator.drain': row({
    ...ask,
    subject: 'coordinator.drain.{user}',
    body: z.object({ node: Name, on: z.boolean() }),
    reply: Empty,
    errors: ['NODE_NOT_FOUND', 'NOT_LEADER'],
    doc: 'Place nothing new on a node; with `on` false, place on it again.',
  }),
} as const satisfies Record<string, Row>
