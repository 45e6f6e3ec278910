/**
 * The library's object: everything that a program asks of a fleet, over one connection. Owns nothing but the
 * putting together; each verb has its file. Outcomes are events: what waits here subscribes first, then asks,
 * and asks again after a lost link.
 */
import type { NodeInfo } from '../protocol/node-info.ts'
import type { RunStatus } from '../protocol/shapes.ts'
import type { RunSummary } from '../protocol/run-summary.ts'
import type { ReplyOf } from '../protocol/table.ts'
import { endRef, signalRef, type EndOptions, type EndResult, type SignalOptions } from './end.ts'
import { watchEvents, type TroupeEvent, type WatchOptions } from './events.ts'
import { launchDocument, type Launched, type LaunchOptions } from './launch.ts'
import type { LogItem, LogOptions } from './logs/items.ts'
import { readNodes, readPlan, readStatus, type Asker, type Planned } from './pages.ts'
import { checkRef, type Point } from './points.ts'
import { refFits, targetsOf, type Ref } from './refs.ts'
import { resolverOn, type Resolving } from './resolver.ts'
import { FAILOVER_MS, patiently } from './timing.ts'
import { lookAt, waitForPoint, type WaitResult, type Waiting } from './wait.ts'

/** A launch document as a value, or its text (YAML or JSON). */
export type LaunchInput = string | Record<string, unknown>
export type Explained = ReplyOf<'coordinator.explain'>['lines'][number]

export interface WaitOptions extends Waiting {
  /** default: done */
  for?: Point
}

/**
 * One connection to a fleet. A ref is `RUN`, `RUN/role`, `RUN/role/3`, `RUN/role/1-3,5` or `RUN/role:11`; RUN
 * is a name (its live run, else its newest), an id, a unique prefix of one, or `last` (one's own newest). An
 * end or a signal takes no prefix that ends within a name. Every call may throw a Fault: matched by `code`,
 * with a `hint`;
 * CONN when the bus cannot be reached, TIMEOUT when nothing is known.
 */
export interface Troupe {
  readonly fleet: string
  readonly user: string
  /**
   * Launch a run; returns when it is accepted. @throws {Fault} SPEC_INVALID, PLAN_INVALID, KEY_CONFLICT,
   * TIMEOUT (stored by the durable door, not answered yet)
   */
  launch(document: LaunchInput, options?: LaunchOptions): Promise<Launched>
  /** Resolve a document and say what would be done; nothing is launched. */
  plan(document: LaunchInput): Promise<Planned>
  status(ref: string): Promise<RunStatus>
  /** Live runs, newest first; with `all` ended ones too. `onPartial` hears why some of them are missing. */
  list(options?: { all?: boolean; onPartial?(why: string): void }): Promise<RunSummary[]>
  nodes(): Promise<NodeInfo[]>
  /** Which clock is ticking and why, cause and next check. */
  explain(ref: string): Promise<Explained[]>
  /** Wait until a point is reached or the run has ended. @throws {Fault} WORKER_TIMEOUT */
  wait(ref: string, options?: WaitOptions): Promise<WaitResult>
  /**
   * Events of a run, of some of its workers, or (without a ref) of everything: the past, then live, each
   * once, none missing. Ends by `signal`, `return()` or, for a past alone (`live: false`), at its end.
   */
  watch(ref?: string, options?: WatchOptions): AsyncIterable<TroupeEvent>
  /**
   * Log lines, or bytes with `raw`; what nobody has any more is a named gap. Ends when the log is complete.
   */
  logs(ref: string, options?: LogOptions): AsyncIterable<LogItem>
  /** The role's ladder (signal, grace, SIGKILL), awaited to the last receipt. */
  stop(ref: string, options?: EndOptions): Promise<EndResult>
  /** The same with grace 0. */
  kill(ref: string, options?: EndOptions): Promise<EndResult>
  /** One signal to root processes, or to ranks of torchrun. @returns the workers it was sent to */
  signal(ref: string, signal: string, options?: SignalOptions): Promise<string[]>
  /** Launch and wait for the end. */
  run(document: LaunchInput, options?: LaunchOptions & Waiting): Promise<WaitResult & { run: string }>
  /** After the state store was made anew: let a node accept it. */
  adopt(node: string): Promise<void>
  /** Place nothing new on a node, or (`on: false`) again. */
  drain(node: string, on?: boolean): Promise<void>
  /**
   * What a ref means now; several for `all`. `acts`: as `stop`, `kill` and `signal` read it.
   *
   * @throws {Fault} USAGE, WORKER_NOT_FOUND, AMBIGUOUS
   */
  resolve(ref: string, options?: { acts?: boolean }): Promise<Ref[]>
  close(): Promise<void>
}

function ask<T>(attempt: () => Promise<T>): Promise<T> {
  return patiently(attempt, { boundMs: FAILOVER_MS })
}
async function explainRef({ messenger, user }: Asker, ref: Ref): Promise<Explained[]> {
  const targets = ref.ranks === undefined ? targetsOf(ref) : [{ run: ref.run, role: ref.role! }]
  const answers = await Promise.all(
    targets.map((target) => ask(() => messenger.ask('coordinator.explain', { user }, target))),
  )
  return answers.flatMap((answer) => answer.lines)
}

// YAML and the pattern engine are loaded when they are needed: `troupe ps` must not pay for them
async function documentOf(input: LaunchInput): Promise<Record<string, unknown>> {
  return typeof input === 'string'
    ? (await import('../protocol/launch/document.ts')).parseLaunchText(input).document
    : input
}

/** Put a Troupe together over a messenger: index.ts does it over NATS, tests over a bus in memory. */
export function troupeOn({ messenger, user, ...resolving }: Asker & Resolving): Troupe {
  const asker = { messenger, user }
  const { list, resolve, one, knowing } = resolverOn(asker, resolving)
  const end = async (how: 'stop' | 'kill', text: string, options?: EndOptions): Promise<EndResult> => {
    const ref = await one(text, { acts: true })
    return knowing(ref, (ref) => endRef(messenger, user, how, ref, options), { acts: true })
  }

  const troupe: Troupe = {
    fleet: messenger.fleet,
    user,
    launch: async (input, options) => launchDocument(messenger, user, await documentOf(input), options),
    plan: async (input) => readPlan(asker, await documentOf(input)),
    async status(text) {
      const ref = await one(text)
      return knowing(ref, async (ref) => {
        const status = await readStatus(asker, { run: ref.run })
        checkRef(status, ref)
        return status
      })
    },
    list,
    nodes: () => readNodes(asker),
    async explain(text) {
      const ref = await one(text)
      return knowing(ref, (ref) => explainRef(asker, ref))
    },
    async wait(text, { for: point = 'done', ...waiting } = {}) {
      const ref = await one(text)
      return knowing(ref, (ref) => waitForPoint(messenger, user, ref, point, waiting))
    },
    async *watch(text, options) {
      const isThere = async (ref: Ref): Promise<Ref> => {
        checkRef(await lookAt(asker, ref), ref)
        return ref
      }
      const ref = text === undefined ? null : await knowing(await one(text), isThere)
      for await (const event of watchEvents(messenger, ref?.run, options))
        if (ref === null || !('index' in event) || refFits(ref, event)) yield event
    },
    async *logs(text, options) {
      const { readLogs } = await import('./logs/read.ts')
      // the first item decides whether the run is known: afterwards a fault is a fault
      const begun = async (ref: Ref) => {
        const items = readLogs(messenger, user, ref, options)
        return { items, first: await items.next() }
      }
      const { items, first } = await knowing(await one(text), begun)
      if (first.done === true) return
      yield first.value
      yield* items
    },
    stop: (text, options) => end('stop', text, options),
    kill: (text, options) => end('kill', text, options),
    async signal(text, signal, options) {
      const ref = await one(text, { acts: true })
      return knowing(ref, (ref) => signalRef(messenger, user, ref, signal, options), { acts: true })
    },
    async run(input, options = {}) {
      const { run } = await troupe.launch(input, { ...options, timeoutMs: undefined })
      return { run, ...(await waitForPoint(messenger, user, { run }, 'done', options)) }
    },
    adopt: async (node) => void (await ask(() => messenger.ask('coordinator.adopt', { user }, { node }))),
    drain: async (node, on = true) =>
      void (await ask(() => messenger.ask('coordinator.drain', { user }, { node, on }))),
    resolve,
    close: () => messenger.bus.close(),
  }
  return troupe
}
