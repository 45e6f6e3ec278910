/**
 * Ships the logs of a node's forks over a connection of their own. Owns which sources there are, the bounds
 * they share (memory, a worker's rate) and the keeping of marks; one source's way is source-shipper.ts. Log
 * bytes never pass an actor's mailbox.
 */
import { parseForkId } from '../../protocol/names.ts'
import { sourceToken } from '../../protocol/log-records.ts'
import type { LogOffsets } from '../../protocol/shapes.ts'
import { subjectOf } from '../../protocol/subjects.ts'
import { NO_MARKS, type LogStore, type SourceMarks } from '../../process/log-store.ts'
import type { Clock } from '../../system/clock.ts'
import type { Bus } from '../../transport/bus.ts'
import type { LogSettings } from './log-settings.ts'
import { startSourceShipper, type SourceShipper, type Throttle } from './source-shipper.ts'
import { byteSemaphore } from './byte-semaphore.ts'

export interface LogShipper {
  /** follow a fork's sources, from where their marks say */
  ship(forkId: string): void
  /** the tree is gone: ship to the end, then `onFinal` is told */
  finish(forkId: string): void
  /** marks are written; what was not acknowledged is shipped again by the next agent */
  stop(options: { keepMarks: boolean }): Promise<void>
}

interface Shipment {
  forkId: string
  known: Record<string, SourceMarks>
  sources: Map<string, SourceShipper>
  unwatch: () => void
  throttle: Throttle
  /** marks to write */
  dirty: boolean
  /** sources told of something since caps were looked at */
  grown: boolean
  finishing: boolean
}

export function startLogShipper(options: {
  bus: Bus
  fleet: string
  node: string
  store: LogStore
  clock: Clock
  settings: LogSettings
  onFinal(forkId: string, offsets: LogOffsets): void
  log(fields: Record<string, unknown>): void
}): LogShipper {
  const { bus, fleet, node, store, clock, settings, onFinal, log } = options
  const shipments = new Map<string, Promise<Shipment>>()
  const opened = new Set<Shipment>()
  const semaphore = byteSemaphore(settings.windowBytesMax)
  let stopped = false

  const sourceOf = (shipment: Shipment, source: string): SourceShipper => {
    const existing = shipment.sources.get(source)
    if (existing !== undefined) return existing
    const { run, role, index, attempt } = parseForkId(shipment.forkId)!
    const shipper = startSourceShipper({
      bus,
      subject: subjectOf(fleet, 'log', { run, role, index, attempt, source: sourceToken(source), node }),
      store,
      forkId: shipment.forkId,
      source,
      from: shipment.known[source] ?? NO_MARKS,
      semaphore,
      throttle: shipment.throttle,
      settings,
      clock,
      onChange: () => void (shipment.dirty = true),
      log,
    })
    shipment.sources.set(source, shipper)
    return shipper
  }

  const open = async (forkId: string): Promise<Shipment> => {
    const known = await store.marks(forkId)
    const shipment: Shipment = {
      forkId,
      known,
      sources: new Map(),
      unwatch: () => undefined,
      throttle: throttleOf(settings.workerBytesPerSecond, clock),
      dirty: false,
      grown: false,
      finishing: false,
    }
    opened.add(shipment)
    if (!stopped)
      shipment.unwatch = store.watch(forkId, (source) => {
        if (stopped || shipment.finishing) return
        shipment.grown = true
        sourceOf(shipment, source).more()
      })
    return shipment
  }
  const shipmentOf = (forkId: string): Promise<Shipment> => {
    const existing = shipments.get(forkId)
    if (existing !== undefined) return existing
    const opening = open(forkId)
    shipments.set(forkId, opening)
    return opening
  }

  const marksOf = ({ known, sources }: Shipment): Record<string, SourceMarks> => ({
    ...known,
    ...Object.fromEntries([...sources].map(([source, shipper]) => [source, shipper.marks])),
  })
  const save = async (shipment: Shipment): Promise<void> => {
    shipment.dirty = false
    try {
      await store.mark(shipment.forkId, marksOf(shipment))
    } catch (error) {
      // a full disk: shipping goes on, the next agent would begin further back
      log({ msg: 'log marks cannot be written', forkId: shipment.forkId, error: String(error) })
      shipment.dirty = true
    }
  }
  const look = async (shipment: Shipment): Promise<void> => {
    if (shipment.dirty) await save(shipment)
    if (!shipment.grown) return
    shipment.grown = false
    const sizes = await store.sizes(shipment.forkId)
    for (const [source, size] of Object.entries(sizes))
      if (size > settings.spoolBytesMax) await sourceOf(shipment, source).cap(size)
  }

  const finishAll = async (shipment: Shipment): Promise<void> => {
    shipment.finishing = true
    shipment.unwatch()
    const names = new Set([...Object.keys(await store.sizes(shipment.forkId)), ...shipment.sources.keys()])
    await Promise.all(
      [...names]
        .filter((source) => shipment.known[source]?.final !== true)
        .map((source) => sourceOf(shipment, source).finish()),
    )
    if (stopped) return
    await save(shipment)
    shipments.delete(shipment.forkId)
    opened.delete(shipment)
    const final = Object.entries(marksOf(shipment)).map(([source, { generation, shipped, lost }]) => [
      source,
      { bytes: shipped, lost, ...(generation > 0 && { generation }) },
    ])
    onFinal(shipment.forkId, Object.fromEntries(final) as LogOffsets)
  }

  const failed = (what: string, forkId: string) => (error: unknown) => {
    if (!stopped) log({ msg: what, forkId, error: String(error) })
  }
  const endLooking = clock.every(settings.markMs, () => {
    for (const shipment of opened)
      void look(shipment).catch(failed('logs cannot be looked after', shipment.forkId))
  })
  const unlink = bus.onLink((connected) => {
    if (connected) for (const { sources } of opened) for (const source of sources.values()) source.wake()
  })

  return {
    ship: (forkId) => void shipmentOf(forkId).catch(failed('logs cannot be shipped', forkId)),
    finish(forkId) {
      void shipmentOf(forkId)
        .then((shipment) => (shipment.finishing ? undefined : finishAll(shipment)))
        .catch(failed('logs cannot be finished', forkId))
    },
    async stop({ keepMarks }) {
      stopped = true
      endLooking()
      unlink()
      for (const shipment of opened) {
        shipment.unwatch()
        await Promise.all([...shipment.sources.values()].map((source) => source.stop()))
        if (keepMarks && shipment.dirty) await save(shipment)
      }
    },
  }
}

/** A bucket of one second's worth: what is over it waits. */
function throttleOf(bytesPerSecond: number | null, clock: Clock): Throttle {
  if (bytesPerSecond === null) return () => ({ waitMs: 0, limited: false })
  let level = bytesPerSecond
  let at = clock.now()
  return (bytes) => {
    const now = clock.now()
    level = Math.min(bytesPerSecond, level + ((now - at) * bytesPerSecond) / 1000) - bytes
    at = now
    return level < 0
      ? { waitMs: (-level * 1000) / bytesPerSecond, limited: true }
      : { waitMs: 0, limited: false }
  }
}
