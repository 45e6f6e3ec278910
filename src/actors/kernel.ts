/**
 * The actor kernel: one bounded mailbox, one pure `step`, one `perform`. Owns ordering, the persist barrier
 * and shedding; knows nothing of buses or processes.
 *
 * 1. `step(state, event)` is pure but owns its state: it may change the object it is given and must return
 * it. Time and randomness come in events.
 * 2. Events are handled one at a time, in order of arrival; an event that a perform brings back waits its
 * turn (no re-entrance).
 * 3. Commands leave in the order in which steps gave them. `persist` is a barrier: what follows it, of this
 * step and of later ones, waits until it is acknowledged,
 *    so nothing that anybody sees rests on a fact that could still be lost. Persists that meet while one is in flight are joined into one append.
 * 4. A refused persist ends the actor (`deposed`): its waiting commands are dropped, never performed.
 *    `mayPerform` can close the door for a while (a lease that ran out): commands wait, and leave on `flush`.
 * 5. At the watermark `offer` refuses (the asker sheds with OVERLOADED); `post` — results, timers, exits — is
 * never refused.
 */
export interface Step<S, E, C> {
  (state: S, event: E): readonly [S, readonly C[]]
}

export interface ActorOptions<S, E, C, P> {
  state: S
  step: Step<S, E, C>
  /** performs one command; never throws. What it learns comes back by `post` */
  perform(command: C): void
  /** what a command wants written, or null when it is no persist */
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
  /** try again to perform what waits, after `mayPerform` changed */
  flush(): void
  /** stop at once: nothing more is stepped or performed */
  halt(): void
  readonly depth: number
  readonly halted: boolean
}

const MAILBOX_MAX = 10_000

export function runActor<S, E, C, P = never>(options: ActorOptions<S, E, C, P>): ActorHandle<E> {
  const {
    step,
    perform,
    persistOf,
    persist,
    onDeposed,
    mayPerform,
    onStep,
    mailboxMax = MAILBOX_MAX,
  } = options
  let state = options.state
  let halted = false
  let draining = false
  let writing = false
  const mailbox = queue<E>()
  /** commands in order; a persist that is not acknowledged yet holds back all behind it */
  const outbox = queue<C>()
  /** persists whose acknowledgement came: they are passed over */
  let acked = new Set<C>()

  const flush = (): void => {
    while (!halted && outbox.size > 0) {
      const command = outbox.first()
      if (acked.delete(command)) {
        outbox.shift()
        continue
      }
      if (persistOf?.(command) != null) {
        if (!writing) write()
        return
      }
      if (mayPerform?.() === false) return
      outbox.shift()
      perform(command)
    }
  }

  const write = (): void => {
    const taken = new Set<C>()
    const ops: P[] = []
    for (const command of outbox) {
      const wanted = persistOf!(command)
      if (wanted === null) continue
      taken.add(command)
      for (const op of wanted) ops.push(op)
    }
    writing = true
    persist!(ops).then(
      () => {
        writing = false
        if (halted) return
        acked = taken
        flush()
      },
      (error: unknown) => {
        writing = false
        if (halted) return
        halted = true
        onDeposed?.(error)
      },
    )
  }

  const drain = (): void => {
    if (draining) return
    draining = true
    try {
      while (!halted && mailbox.size > 0) {
        const event = mailbox.shift()
        const [next, commands] = step(state, event)
        state = next
        for (const command of commands) outbox.push(command)
        onStep?.(event, commands)
        flush()
      }
    } finally {
      draining = false
    }
  }

  const post = (event: E): void => {
    if (halted) return
    mailbox.push(event)
    drain()
  }

  return {
    offer(event) {
      if (halted || mailbox.size + outbox.size >= mailboxMax) return false
      post(event)
      return true
    },
    post,
    flush,
    halt: () => void (halted = true),
    get depth() {
      return mailbox.size
    },
    get halted() {
      return halted
    },
  }
}

interface Queue<T> extends Iterable<T> {
  readonly size: number
  push(item: T): void
  first(): T
  shift(): T
}

/** First in, first out; `Array.shift` moves everything that is left each time. */
function queue<T>(): Queue<T> {
  let items: T[] = []
  let head = 0
  return {
    get size() {
      return items.length - head
    },
    push: (item) => void items.push(item),
    first: () => items[head]!,
    shift() {
      const item = items[head++]!
      if (head > 1024 && head * 2 > items.length) {
        items = items.slice(head)
        head = 0
      }
      return item
    },
    *[Symbol.iterator]() {
      for (let i = head; i < items.length; i++) yield items[i]!
    },
  }
}
