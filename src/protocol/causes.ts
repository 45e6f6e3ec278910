/**
 * Causes: who or what ended a worker or a run. Owns the one union that stands on the wire, in STATE and in
 * spools, and its text for people. Nothing is read back from the text.
 *
 * A later minor version may add causes, and words to the lists here. A reader keeps a cause that it does not
 * know, hands it on whole, and says `ended by …` with its word.
 */
import * as z from 'zod'
import { NAME } from './names.ts'

const WORD = /^[a-z][a-z-]{0,39}$/
const Name = z.string().regex(NAME)
const WorkerId = z.string().max(140)

/** One of these words, or one that a later minor version adds. */
function word<const W extends string>(...words: W[]): z.ZodType<W> {
  return z
    .string()
    .regex(WORD)
    .describe(`one of ${words.join(', ')}`) as unknown as z.ZodType<W>
}

function cause<const B extends string, S extends z.ZodRawShape>(
  by: B,
  shape: S,
  doc: string,
): z.ZodObject<{ by: z.ZodLiteral<B> } & S> {
  return z.object({ by: z.literal(by), ...shape }).describe(doc)
}

const Known = z.discriminatedUnion('by', [
  cause('user', { name: Name }, 'a person: stop, kill, Ctrl-C, down'),
  cause(
    'deadline',
    { clock: word('queue', 'start', 'run', 'ready', 'dependency', 'peer-exit') },
    'a time limit of the launch document, or what torchrun agents have after a peer exited 0',
  ),
  cause(
    'peer',
    { worker: WorkerId, rank: z.number().int().min(0).optional() },
    'another worker of the run failed; that was judged, the run ends or is started again',
  ),
  cause(
    'rank',
    { worker: WorkerId, rank: z.number().int().min(0) },
    'a rank of a peer failed; what that means is not judged yet',
  ),
  cause('start', { role: Name }, 'another role of the run could not be started'),
  cause(
    'attempt',
    {},
    'the attempt was given up: one of its workers could not be started, or nobody wants it',
  ),
  cause('not-ready', {}, 'its readiness probe ran out of time; that is a failure of the worker'),
  cause('fence', {}, 'its `fenceAfter`: nobody had spoken to its node for so long'),
  cause('orphan', {}, 'its agent had heard of no coordinator for the time that orphans may live'),
  cause('stop-when', { role: Name }, 'the `stopWhen` of the launch document'),
  cause('done', {}, 'all work of the run is done'),
  cause('node-lost', { node: z.string().max(140) }, 'a node was lost, and a worker of the run with it'),
  cause(
    'launcher',
    { name: word('torchrun'), afterMs: z.number().int().min(0) },
    'of a rank: its launcher killed it, with its group, so long after it had told it to end',
  ),
  // The coordinator will send it when a backend says that an allocation ends (Slurm, Ray).
  cause(
    'allocation',
    { why: word('time-limit', 'preempted', 'cancelled', 'requeued') },
    'the scheduler ended the allocation; sent by backends that allocate',
  ),
])
export type Cause = z.infer<typeof Known>

const KNOWN: ReadonlySet<string> = new Set(Known.options.map((option) => option.shape.by.value))

/** A cause of a later minor version: flat, and kept whole. */
const Later = z
  .object({ by: z.string().regex(WORD) })
  .catchall(z.union([z.string().max(200), z.number(), z.boolean(), z.null()]))
  .refine(({ by }) => !KNOWN.has(by), { error: 'a known cause, in another form' })
  .describe('a cause that a later minor version adds')

/** The type has the known causes alone: a switch over them needs a default for those of a later version. */
export const Cause = z.union([Known, Later]) as unknown as z.ZodType<Cause>

export function isBy<B extends Cause['by']>(
  given: Cause | null | undefined,
  by: B,
): given is Extract<Cause, { by: B }> {
  return given?.by === by
}

export function byUser(name: string): Cause {
  return { by: 'user', name }
}

/** The run is the same one: `trainer/3`, or `trainer:11` for a rank. */
function shortName({ worker, rank }: { worker: string; rank?: number | undefined }): string {
  const [, role, index] = worker.split('/')
  return rank === undefined ? `${role}/${index}` : `${role}:${rank}`
}

/** For people, after `ended by` or `stopped by`. */
export function causeText(given: Cause): string {
  switch (given.by) {
    case 'user':
      return given.name
    case 'deadline':
      return `the ${given.clock} deadline`
    case 'peer':
    case 'rank':
      return `the failure of ${shortName(given)}`
    case 'start':
      return `the failed start of role ${given.role}`
    case 'attempt':
      return 'the end of its attempt'
    case 'not-ready':
      return 'its readiness timeout'
    case 'fence':
      return 'its fence (fenceAfter)'
    case 'orphan':
      return 'its agent, which heard of no coordinator'
    case 'stop-when':
      return `stopWhen: ${given.role}.done`
    case 'done':
      return 'the end of the run'
    case 'node-lost':
      return `the loss of node ${given.node}`
    case 'launcher':
      return `${given.name}, with its group, after its ${Math.round(given.afterMs / 100) / 10} s`
    case 'allocation':
      return `the end of its allocation (${given.why})`
    default:
      return String((given satisfies never as { by: string }).by)
  }
}
