/**
 * The actor kernel: one bounded mailbox, one pure `step`, one `perform`. Owns ordering, the persist barrier
 * and shedding; knows nothing of buses or processes.
 *
 * 1. `step(state, event)` is pure but owns its state: it may change the object it is given and must return
 * it. Time and randomness come in events.
 * 2. Events are handled one at a time, in order of arrival; an event that a perform brings back waits its
 * turn (no re-entrance).
 * 3. Commands leave in the order in which steps gave them. `persist` is a barrier: what follows it, of this
 * step and of later ones, waits until it is acknowledged. So nothing that anybody sees rests on a fact that
 * could still be lost. Persists that meet while one is in flight are joined into one append.
 * 4. A refused persist ends the actor (`deposed`): its waiting commands are dropped, never performed.
 *    `mayPerform` can close the door for a while (a lease that ran out): commands wait, and leave on `flush`.
 * 5. At the watermark `offer` refuses, and the asker is told OVERLOADED. `post` is never refused: it brings
 * results, timers and exits.
 */
import { fifo, type Fifo } from './fifo.ts'

export interface Step<S, E, C> {
  (state: S, event: E): readonly [S, readonly C[]]
}

export interface ActorOptions<S, E, C, P> {
  state: S
  step: Step<S, E, C>
  /** performs one command; never throws. What it learns comes back by `post` */
  perform(command: C): void
  /** The operations that a command wants written; null: it is no persist. */
  persistOf?(command: C): P[] | null
  /** writes joined persists; rejects when this actor may write no more */
  persist?(ops: P[]): Promise<void>
  onDeposed?(error: unknown): void
  /**
   * asked before each command; while it says no, commands wait in order. Persists are not asked for: they
   * prove themselves
   */
  mayPerform?(): boolean
  /** called after each step, for tests and the simulator; throwing here is a crash */
  onStep?(event: E, commands: readonly C[]): void
  mailboxMax?: number
}

export interface ActorHandle<E> {
  /** @returns false when the mailbox is at its watermark */
  offer(event: E): boolean
  post(event: E): void
  /** Try again to perform the commands that wait, after `mayPerform` changed. */
  flush(): void
  /** stop at once: nothing more is stepped or performed */
  halt(): void
  readonly depth: number
  readonly halted: boolean
}

const MAILBOX_MAX = 10_000

interface Actor<S, E, C, P> extends ActorOptions<S, E, C, P> {
  halted: boolean
  /** A step runs, or what it gave is performed. */
  draining: boolean
  /** Persists are on their way. */
  writing: boolean
  readonly mailbox: Fifo<E>
  /** Commands in order; a persist that is not acknowledged yet holds back all behind it. */
  readonly outbox: Fifo<C>
  /** Persists that are acknowledged: they are passed over. */
  acked: Set<C>
}

export function runActor<S, E, C, P = never>(options: ActorOptions<S, E, C, P>): ActorHandle<E> {
  const { mailboxMax = MAILBOX_MAX } = options
  const a: Actor<S, E, C, P> = {
    ...options,
    halted: false,
    draining: false,
    writing: false,
    mailbox: fifo(),
    outbox: fifo(),
    acked: new Set(),
  }
  return {
    offer(event) {
      if (a.halted || a.mailbox.size + a.outbox.size >= mailboxMax) return false
      post(a, event)
      return true
    },
    post: (event) => post(a, event),
    flush: () => flush(a),
    halt: () => void (a.halted = true),
    get depth() {
      return a.mailbox.size
    },
    get halted() {
      return a.halted
    },
  }
}

function post<S, E, C, P>(a: Actor<S, E, C, P>, event: E): void {
  if (a.halted) return
  a.mailbox.push(event)
  drain(a)
}

function drain<S, E, C, P>(a: Actor<S, E, C, P>): void {
  if (a.draining) return
  a.draining = true
  try {
    while (!a.halted && a.mailbox.size > 0) {
      const event = a.mailbox.shift()
      const [next, commands] = a.step(a.state, event)
      a.state = next
      for (const command of commands) a.outbox.push(command)
      a.onStep?.(event, commands)
      flush(a)
    }
  } finally {
    a.draining = false
  }
}

function flush<S, E, C, P>(a: Actor<S, E, C, P>): void {
  while (!a.halted && a.outbox.size > 0) {
    const command = a.outbox.first()
    if (a.acked.delete(command)) {
      a.outbox.shift()
      continue
    }
    if (a.persistOf?.(command) != null) {
      if (!a.writing) write(a)
      return
    }
    if (a.mayPerform?.() === false) return
    a.outbox.shift()
    a.perform(command)
  }
}

/** Write all persists that wait, as one append. */
function write<S, E, C, P>(a: Actor<S, E, C, P>): void {
  const taken = new Set<C>()
  const ops: P[] = []
  for (const command of a.outbox) {
    const wanted = a.persistOf!(command)
    if (wanted === null) continue
    taken.add(command)
    for (const op of wanted) ops.push(op)
  }
  a.writing = true
  a.persist!(ops).then(
    () => {
      a.writing = false
      if (a.halted) return
      a.acked = taken
      flush(a)
    },
    (error: unknown) => {
      a.writing = false
      if (a.halted) return
      a.halted = true
      a.onDeposed?.(error)
    },
  )
}
