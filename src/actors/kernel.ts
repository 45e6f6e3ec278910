/**
 * The actor kernel: one bounded mailbox, one pure `step`, one `perform`. Owns ordering, the persist barrier and shedding;
 * knows nothing of buses or processes.
 *
 * 1. `step(state, event)` is pure but owns its state: it may change the object it is given and must return it. Time and randomness come in events.
 * 2. Events are handled one at a time, in order of arrival; an event that a perform brings back waits its turn (no re-entrance).
 * 3. Commands leave in the order in which steps gave them. `persist` is a barrier: what follows it, of this step and of later ones, waits until it is acknowledged,
 *    so nothing that anybody sees rests on a fact that could still be lost. Persists that meet while one is in flight are joined into one append.
 * 4. A refused persist ends the actor (`deposed`): its waiting commands are dropped, never performed.
 * 5. At the watermark `offer` refuses (the asker sheds with OVERLOADED); `post` — results, timers, exits — is never refused.
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
  /** called after each step, for tests and the simulator; throwing here is a crash */
  onStep?(event: E, commands: readonly C[]): void
  mailboxMax?: number
}

export interface ActorHandle<E> {
  /** @returns false when the mailbox is at its watermark */
  offer(event: E): boolean
  post(event: E): void
  /** stop at once: nothing more is stepped or performed */
  halt(): void
  readonly depth: number
  readonly halted: boolean
}

export const MAILBOX_MAX = 10_000

export const runActor = <S, E, C, P = never>(options: ActorOptions<S, E, C, P>): ActorHandle<E> => {
  const { step, perform, persistOf, persist, onDeposed, onStep, mailboxMax = MAILBOX_MAX } = options
  let state = options.state
  let halted = false
  let draining = false
  let writing = false
  const mailbox: E[] = []
  /** commands in order; a persist that is not acknowledged yet holds back all behind it */
  const outbox: C[] = []

  const flush = (): void => {
    while (!halted && outbox.length > 0) {
      const command = outbox[0]!
      if (persistOf?.(command) != null) {
        if (!writing) write()
        return
      }
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
      ops.push(...wanted)
    }
    writing = true
    persist!(ops).then(
      () => {
        writing = false
        if (halted) return
        for (let i = outbox.length - 1; i >= 0; i--) if (taken.has(outbox[i]!)) outbox.splice(i, 1)
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
      while (!halted && mailbox.length > 0) {
        const event = mailbox.shift()!
        const [next, commands] = step(state, event)
        state = next
        outbox.push(...commands)
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
      if (halted || mailbox.length + outbox.length >= mailboxMax) return false
      post(event)
      return true
    },
    post,
    halt: () => void (halted = true),
    get depth() {
      return mailbox.length
    },
    get halted() {
      return halted
    },
  }
}
