/**
 * What every ProcessHost must do: the clauses of src/process/process-host.ts as tests. Run against
 * linux-host.ts (real processes) and the simulator's host. Knows programs only by what they do; a host whose
 * time stands still must be moved by whoever makes it.
 */
import { afterEach, describe, expect, test } from 'vitest'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'
import type { HostEvent, Recovered } from '../../src/protocol/host.ts'
import type { ProcessHost } from '../../src/process/process-host.ts'
import { forkSpec, NO_BINDINGS } from '../support/spec.ts'

/** Commands by what they do. */
export interface Programs {
  /** ends soon with this code */
  exits(code: number): string[]
  /** stays until a signal ends it; SIGTERM does */
  stays: string[]
  /** stays, also through SIGTERM */
  stubborn: string[]
  /** the root ends soon with this code and leaves a process that stays through SIGTERM */
  leavesOne(code: number): string[]
  /** ends soon by SIGKILL, which nobody of us sent */
  killsItself: string[]
  /** may say `saved` when it begins; after SIGTERM says it, without an end of the line, and ends with 0 */
  saves: string[]
  /** there is no such program */
  missing: string[]
}

export interface HostUnderTest {
  /** recovered, on an empty spool */
  host: ProcessHost
  programs: Programs
  /** the agent dies without a word; a new one on the same spool, not recovered yet */
  restart(): Promise<ProcessHost>
  /** live processes of the fork, shims not counted, whoever knows of them */
  alive(forkId: string): number
  /** resolves when a program that was just started does what its name says (has its handlers) */
  settled(forkId: string): Promise<void>
  dispose(): Promise<void>
}

type EventOf<W extends HostEvent['what']> = Extract<HostEvent, { what: W }>

function listen(host: ProcessHost) {
  const told: HostEvent[] = []
  const looks = new Set<() => void>()
  host.onEvent((event) => {
    told.push(event)
    for (const look of [...looks]) look()
  })
  const next = <W extends HostEvent['what']>(what: W, forkId: string): Promise<EventOf<W>> =>
    new Promise((resolve, reject) => {
      const timer = setTimeout(
        () => reject(new Error(`no ${what} of ${forkId}; told: ${JSON.stringify(told)}`)),
        10_000,
      )
      const look = (): void => {
        const found = told.find(
          (event): event is EventOf<W> => event.what === what && event.forkId === forkId,
        )
        if (found === undefined) return
        clearTimeout(timer)
        looks.delete(look)
        resolve(found)
      }
      looks.add(look)
      look()
    })
  return { told, next }
}

async function until(holds: () => boolean, what: string): Promise<void> {
  for (const end = Date.now() + 10_000; !holds();) {
    if (Date.now() > end) throw new Error(`not within 10 s: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

function codeOf(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => 'no fault',
    (error: { code?: string }) => String(error.code),
  )
}

export function processHostContract(name: string, makeHost: () => Promise<HostUnderTest>): void {
  describe(`${name} is a ProcessHost`, () => {
    let made: HostUnderTest[] = []
    const make = async () => {
      const under = await makeHost()
      made.push(under)
      return { ...under, events: listen(under.host) }
    }
    afterEach(async () => {
      for (const under of made) await under.dispose()
      made = []
    })
    const start = async (host: ProcessHost, spec: ForkSpec) => {
      await host.prepare([spec])
      return host.start(spec.forkId, NO_BINDINGS)
    }
    const recoverOne = async (host: ProcessHost, forkId: string): Promise<Recovered> => {
      const found = (await host.recover()).filter((fork) => fork.spec.forkId === forkId)
      expect(found).toHaveLength(1)
      return found[0]!
    }

    test('a program that exits with a code: exited has it, empty follows with the receipt', async () => {
      const { host, programs, events } = await make()
      const spec = forkSpec(programs.exits(3))
      const started = await start(host, spec)
      expect(started.pid).toBeGreaterThan(0)
      expect((await events.next('exited', spec.forkId)).exit).toEqual({
        code: 3,
        signal: null,
        oom: false,
        unknown: null,
      })
      expect((await events.next('empty', spec.forkId)).receipt).toEqual({
        outcome: 'gone',
        survivors: [],
        reason: null,
      })
      expect(
        events.told
          .filter((event) => event.what === 'exited' || event.what === 'empty')
          .map((event) => event.what),
      ).toEqual(['exited', 'empty'])
    })

    test('a program that exits with 137 and one that ends by SIGKILL are told apart', async () => {
      const { host, programs, events } = await make()
      const [one, other] = [forkSpec(programs.exits(137), { n: 0 }), forkSpec(programs.killsItself, { n: 1 })]
      await start(host, one)
      await start(host, other)
      expect((await events.next('exited', one.forkId)).exit).toMatchObject({ code: 137, signal: null })
      expect((await events.next('exited', other.forkId)).exit).toMatchObject({
        code: null,
        signal: 'SIGKILL',
      })
      await events.next('empty', one.forkId)
      await events.next('empty', other.forkId)
    })

    test('a program that is not there: no pid, an exit of 127, and nothing left', async () => {
      const { host, programs, events } = await make()
      const spec = forkSpec(programs.missing)
      expect((await start(host, spec)).pid).toBeNull()
      expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: 127, signal: null })
      expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
    })

    test('prepare twice with the same id: the same leases', async () => {
      const { host, programs } = await make()
      const spec = forkSpec(programs.stays, {
        resources: { cpus: 1, gpus: 0, memoryBytes: 0, ports: 2, share: false },
      })
      const [first] = await host.prepare([spec])
      const [again] = await host.prepare([spec])
      expect(again).toEqual(first)
      expect(first!.ports).toHaveLength(2)
      expect(first!.cores).toHaveLength(1)
    })

    test('prepare of several forks of which one does not fit: none is prepared, nothing stays leased', async () => {
      const { host, programs } = await make()
      const { cpus } = await host.capacity()
      const needs = (n: number, count: number) =>
        forkSpec(programs.stays, {
          n,
          resources: { cpus: count, gpus: 0, memoryBytes: 0, ports: 1, share: false },
        })
      expect(await codeOf(host.prepare([needs(0, 1), needs(1, cpus)]))).toBe('GPU_ALLOC')
      expect(await codeOf(host.start(needs(0, 1).forkId, NO_BINDINGS))).toBe('WORKER_CREATE')
      await host.prepare([needs(2, cpus)])
    })

    test('start twice: one process, the same answer', async () => {
      const { host, programs, alive } = await make()
      const spec = forkSpec(programs.stays)
      await host.prepare([spec])
      const [one, other] = await Promise.all([
        host.start(spec.forkId, NO_BINDINGS),
        host.start(spec.forkId, NO_BINDINGS),
      ])
      expect(other).toEqual(one)
      expect(await host.start(spec.forkId, NO_BINDINGS)).toEqual(one)
      expect(alive(spec.forkId)).toBe(1)
    })

    test('cancel before start: true, and neither start nor prepare of that id ever works again', async () => {
      const { host, programs, alive } = await make()
      const spec = forkSpec(programs.stays)
      await host.prepare([spec])
      expect(await host.cancel(spec.forkId)).toBe(true)
      expect(await codeOf(host.start(spec.forkId, NO_BINDINGS))).toBe('CANCELLED')
      expect(await codeOf(host.prepare([spec]))).toBe('CANCELLED')
      expect(alive(spec.forkId)).toBe(0)
    })

    test('cancel of an id that was never heard of: true, and prepare is refused afterwards', async () => {
      const { host, programs } = await make()
      const spec = forkSpec(programs.stays)
      expect(await host.cancel(spec.forkId)).toBe(true)
      expect(await codeOf(host.prepare([spec]))).toBe('CANCELLED')
    })

    test('cancel while it runs: false until it is gone, then true', async () => {
      const { host, programs, events } = await make()
      const spec = forkSpec(programs.stays)
      await start(host, spec)
      expect(await host.cancel(spec.forkId)).toBe(false)
      await host.killTree(spec.forkId)
      await events.next('empty', spec.forkId)
      expect(await host.cancel(spec.forkId)).toBe(true)
    })

    test('cancel races start: either nothing ever runs, or what runs is known', async () => {
      const { host, programs, alive, events } = await make()
      for (let n = 0; n < 6; n++) {
        const spec = forkSpec(programs.stays, { n })
        await host.prepare([spec])
        const [started, cancelled] = await Promise.all([
          codeOf(host.start(spec.forkId, NO_BINDINGS)),
          host.cancel(spec.forkId),
        ])
        if (cancelled) {
          expect(started).toBe('CANCELLED')
          expect(alive(spec.forkId)).toBe(0)
        } else {
          await host.killTree(spec.forkId)
          await events.next('empty', spec.forkId)
          expect(alive(spec.forkId)).toBe(0)
        }
      }
    })

    test('SIGTERM to a tree ends a program that listens, and is told as that signal', async () => {
      const { host, programs, events } = await make()
      const spec = forkSpec(programs.stays)
      await start(host, spec)
      host.signalTree(spec.forkId, 'SIGTERM')
      expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: null, signal: 'SIGTERM' })
      await events.next('empty', spec.forkId)
    })

    test('SIGTERM to the root alone ends it, and a root that is gone needs none', async () => {
      const { host, programs, events } = await make()
      const spec = forkSpec(programs.stays)
      await start(host, spec)
      host.signalRoot(spec.forkId, 'SIGTERM')
      expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ code: null, signal: 'SIGTERM' })
      await events.next('empty', spec.forkId)
      host.signalRoot(spec.forkId, 'SIGTERM')
    })

    test('SIGTERM is ignored: killTree resolves when nothing is left', async () => {
      const { host, programs, events, alive, settled } = await make()
      const spec = forkSpec(programs.stubborn)
      await start(host, spec)
      await settled(spec.forkId)
      host.signalTree(spec.forkId, 'SIGTERM')
      await host.killTree(spec.forkId)
      expect(alive(spec.forkId)).toBe(0)
      expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ signal: 'SIGKILL' })
      expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
    })

    test('the root ends and leaves a process: exited at once, empty only when that is gone too', async () => {
      const { host, programs, events, alive } = await make()
      const spec = forkSpec(programs.leavesOne(5))
      await start(host, spec)
      expect((await events.next('exited', spec.forkId)).exit.code).toBe(5)
      await until(() => alive(spec.forkId) === 1, 'one process is left')
      expect(events.told.some((event) => event.what === 'empty')).toBe(false)
      await host.killTree(spec.forkId)
      expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
      expect(alive(spec.forkId)).toBe(0)
    })

    test('signalOne reaches the root, and says when there is none', async () => {
      const { host, programs, events } = await make()
      const spec = forkSpec(programs.stays)
      await host.prepare([spec])
      expect(host.signalOne(spec.forkId, 'SIGTERM', 'root', true).reached).toBe(0)
      await host.start(spec.forkId, NO_BINDINGS)
      expect(host.signalOne(spec.forkId, 'SIGTERM', 3, true).reached).toBe(0)
      expect(host.signalOne(spec.forkId, 'SIGTERM', 'root', true).reached).toBe(1)
      await events.next('empty', spec.forkId)
      expect(host.signalOne(spec.forkId, 'SIGTERM', 'root', true).reached).toBe(0)
    })

    const savingStop = {
      signal: 'SIGTERM',
      graceMs: 1000,
      order: 'reverse',
      saved: { log: '^saved$' },
    } as const
    test('it says that it saved after its stop began: told once, and before its exit', async () => {
      const { host, programs, events, settled } = await make()
      const spec = forkSpec(programs.saves, { stop: savingStop })
      await start(host, spec)
      await settled(spec.forkId)
      host.watchSaved(spec.forkId)
      host.watchSaved(spec.forkId)
      host.signalRoot(spec.forkId, 'SIGTERM')
      await events.next('empty', spec.forkId)
      const { saved } = await events.next('saved', spec.forkId)
      expect(saved!.ms).toBeGreaterThanOrEqual(0)
      expect(events.told.map((event) => event.what)).toEqual(['saved', 'exited', 'empty'])
    })

    test('it says so before its stop alone: that is not told', async () => {
      const { host, programs, events, settled } = await make()
      const spec = forkSpec(programs.saves, { stop: savingStop })
      await start(host, spec)
      await settled(spec.forkId)
      host.watchSaved(spec.forkId)
      await host.killTree(spec.forkId)
      await events.next('empty', spec.forkId)
      expect(events.told.map((event) => event.what)).toEqual(['exited', 'empty'])
    })

    test('the agent dies within the stop: the next one knows from where on its word counts, and that word', async () => {
      const { host, programs, restart, settled } = await make()
      const spec = forkSpec(programs.saves, { stop: savingStop })
      await start(host, spec)
      await settled(spec.forkId)
      host.watchSaved(spec.forkId)
      const next = await restart()
      const events = listen(next)
      expect(await recoverOne(next, spec.forkId)).toMatchObject({ phase: 'running', saved: null })
      next.signalRoot(spec.forkId, 'SIGTERM')
      await events.next('saved', spec.forkId)
      await events.next('empty', spec.forkId)
      const last = await restart()
      const found = await recoverOne(last, spec.forkId)
      expect(found).toMatchObject({ phase: 'gone', saved: (await events.next('saved', spec.forkId)).saved })
    })

    test('leases end when the tree is gone, not when it is told to stop', async () => {
      const { host, programs, events, settled } = await make()
      const { cpus } = await host.capacity()
      const all = { cpus, gpus: 0, memoryBytes: 0, ports: 0, share: false }
      const [first, second] = [
        forkSpec(programs.stubborn, { n: 0, resources: all }),
        forkSpec(programs.stays, { n: 1, resources: all }),
      ]
      await start(host, first)
      await settled(first.forkId)
      host.signalTree(first.forkId, 'SIGTERM')
      expect(await codeOf(host.prepare([second]))).toBe('GPU_ALLOC')
      await host.killTree(first.forkId)
      await events.next('empty', first.forkId)
      await host.prepare([second])
    })

    test('drop frees the leases of what has not started, and leaves alone what has', async () => {
      const { host, programs, alive } = await make()
      const { cpus } = await host.capacity()
      const all = { cpus, gpus: 0, memoryBytes: 0, ports: 0, share: false }
      const [first, second] = [
        forkSpec(programs.stays, { n: 0, resources: all }),
        forkSpec(programs.stays, { n: 1, resources: all }),
      ]
      await host.prepare([first])
      await host.drop(first.forkId)
      await start(host, second)
      await host.drop(second.forkId)
      expect(alive(second.forkId)).toBe(1)
      expect(await codeOf(host.prepare([forkSpec(programs.stays, { n: 2, resources: all })]))).toBe(
        'GPU_ALLOC',
      )
    })

    test('the agent dies while a worker runs: the next one watches the same process to its end', async () => {
      const { host, programs, restart, alive } = await make()
      const spec = forkSpec(programs.stays)
      const started = await start(host, spec)
      await host.note(spec.forkId, { killedBy: { by: 'user', name: 'me' } })
      const next = await restart()
      const events = listen(next)
      const fork = await recoverOne(next, spec.forkId)
      expect(fork).toMatchObject({
        phase: 'running',
        started,
        exit: null,
        receipt: null,
        notes: { killedBy: { by: 'user', name: 'me' } },
        spec,
      })
      expect(alive(spec.forkId)).toBe(1)
      expect(await next.start(spec.forkId, NO_BINDINGS)).toEqual(started)
      next.signalTree(spec.forkId, 'SIGTERM')
      expect((await events.next('exited', spec.forkId)).exit).toMatchObject({ signal: 'SIGTERM' })
      expect((await events.next('empty', spec.forkId)).receipt.outcome).toBe('gone')
    })

    test('a worker exits while the agent is dead: the next one knows the true exit, and tells it by recover alone', async () => {
      const { host, programs, restart, events } = await make()
      const spec = forkSpec(programs.exits(7))
      await start(host, spec)
      await events.next('empty', spec.forkId)
      const next = await restart()
      const later = listen(next)
      const fork = await recoverOne(next, spec.forkId)
      expect(fork).toMatchObject({
        phase: 'gone',
        exit: { code: 7, signal: null, unknown: null },
        receipt: { outcome: 'gone' },
      })
      await next.killTree(spec.forkId)
      expect(later.told).toEqual([])
    })

    test('the agent dies between prepare and start: the next one has the leases and can start it', async () => {
      const { host, programs, restart, alive } = await make()
      const spec = forkSpec(programs.stays, {
        resources: { cpus: 1, gpus: 0, memoryBytes: 0, ports: 1, share: false },
      })
      const [prepared] = await host.prepare([spec])
      const next = await restart()
      expect(await recoverOne(next, spec.forkId)).toMatchObject({
        phase: 'prepared',
        prepared,
        started: null,
      })
      await next.start(spec.forkId, NO_BINDINGS)
      expect(alive(spec.forkId)).toBe(1)
    })

    test('a tombstone survives the agent', async () => {
      const { host, programs, restart } = await make()
      const spec = forkSpec(programs.stays)
      await host.prepare([spec])
      await host.cancel(spec.forkId)
      const next = await restart()
      expect((await recoverOne(next, spec.forkId)).phase).toBe('cancelled')
      expect(await codeOf(next.prepare([spec]))).toBe('CANCELLED')
      expect(await codeOf(next.start(spec.forkId, NO_BINDINGS))).toBe('CANCELLED')
    })

    test('after release a fork is forgotten, and its id never starts again', async () => {
      const { host, programs, restart, events } = await make()
      const spec = forkSpec(programs.exits(0))
      await start(host, spec)
      await events.next('empty', spec.forkId)
      await host.release(spec.forkId)
      expect(await codeOf(host.prepare([spec]))).toBe('CANCELLED')
      const next = await restart()
      expect(await next.recover()).toEqual([])
    })

    test('many at once: each its own exit, exited before empty, each told once', async () => {
      const { host, programs, events } = await make()
      const specs = Array.from({ length: 12 }, (_, n) => forkSpec(programs.exits(n), { n }))
      await host.prepare(specs)
      await Promise.all(specs.map(({ forkId }) => host.start(forkId, NO_BINDINGS)))
      for (const [n, { forkId }] of specs.entries()) {
        await events.next('empty', forkId)
        expect((await events.next('exited', forkId)).exit.code).toBe(n)
        expect(
          events.told
            .filter((event) => event.forkId === forkId && event.what !== 'probe')
            .map((event) => event.what),
        ).toEqual(['exited', 'empty'])
      }
    })
  })
}
