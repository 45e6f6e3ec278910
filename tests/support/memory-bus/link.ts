/**
 * The link of one connection in memory: hops that take time, in order, and calls that the server answers. It
 * falls and comes again; what was under way when it fell is lost.
 */
import { Fault } from '../../../src/protocol/faults.ts'
import type { Clock } from '../../../src/system/clock.ts'
import type { CallKind, ConnectionHooks } from './faults.ts'
import type { Server, ServerSub } from './server.ts'

const CALL_TIMEOUT_MS = 2000

function never<T>(): Promise<T> {
  return new Promise<T>(() => {})
}

export class Link {
  connected = true
  private closed = false
  /** changes with every loss of the link: what was under way is lost */
  private session = 0
  private upAt = 0
  private downAt = 0
  protected readonly subs = new Set<ServerSub>()
  private readonly linkListeners = new Set<(connected: boolean) => void>()

  constructor(
    readonly server: Server,
    protected readonly id: string,
    readonly name: string,
    readonly clock: Clock,
    protected readonly hooks: ConnectionHooks,
  ) {}

  setLink(up: boolean): void {
    if (this.closed || up === this.connected) return
    this.connected = up
    this.session++
    for (const sub of this.subs)
      if (up) this.server.add(sub)
      else this.server.remove(sub)
    for (const listener of this.linkListeners) this.hooks.enter(() => listener(up))
  }

  sever(): void {
    this.closed = true
    this.connected = false
    for (const sub of this.subs) this.server.remove(sub)
    this.linkListeners.clear()
  }

  /** a bus in memory has no addresses */
  ends(): null {
    return null
  }
  get isClosed(): boolean {
    return this.closed
  }
  get isOpen(): boolean {
    return this.connected && !this.closed
  }
  leave(what: Parameters<ConnectionHooks['leave']>[0], subject: string): boolean {
    return this.hooks.leave(what, subject)
  }

  /**
   * What is handed to the socket arrives, also when the process dies meanwhile, but not when the link falls.
   * The server writes on the connection's read loop: what comes behind an append waits for the disk.
   */
  toServer(run: () => void, diskMs = 0): void {
    const session = this.session
    this.upAt = Math.max(this.upAt, this.server.clock.now() + this.server.faults.hopMs()) + diskMs
    this.server.clock.after(this.upAt - this.server.clock.now(), () => {
      if (session === this.session) run()
    })
  }
  fromServer(run: () => void, extraMs: number, arrived?: () => void): void {
    const session = this.session
    const at = Math.max(this.downAt, this.server.clock.now() + this.server.faults.hopMs())
    if (extraMs === 0) this.downAt = at
    this.server.clock.after(at - this.server.clock.now() + extraMs, () => {
      if (session !== this.session || this.closed) return
      arrived?.()
      this.hooks.enter(run)
    })
  }

  onLink(listener: (connected: boolean) => void): () => void {
    this.linkListeners.add(listener)
    return () => void this.linkListeners.delete(listener)
  }
  /**
   * A call that the server answers. @throws {Fault} CONN, TIMEOUT (it may have been done), or what the server
   * threw
   */
  call<T>(
    kind: CallKind,
    subject: string,
    done: () => T,
    { timeoutMs = CALL_TIMEOUT_MS, diskMs = 0 }: { timeoutMs?: number | undefined; diskMs?: number } = {},
  ): Promise<T> {
    if (!this.hooks.leave(kind, subject)) return never()
    if (!this.connected) return Promise.reject(new Fault('CONN', 'not connected'))
    return new Promise((resolve, reject) => {
      let open = true
      const fate = this.server.faults.call(kind, this.name, subject)
      if (fate !== 'lost')
        this.toServer(() => {
          let answer: () => void
          try {
            const value = done()
            answer = () => {
              open = false
              resolve(value)
            }
          } catch (error) {
            answer = () => {
              open = false
              reject(error as Error)
            }
          }
          if (fate === 'done') this.fromServer(answer, 0)
        }, diskMs)
      this.clock.after(
        timeoutMs,
        () => void (open && reject(new Fault('TIMEOUT', `no answer of the server on ${subject}`))),
      )
    })
  }
}
