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
import { startSourceShipper, type SourceShipper } from './source-shipper.ts'
import { byteSemaphore, type ByteSemaphore } from './byte-semaphore.ts'
import { throttleOf, type Throttle } from './throttle.ts'

export interface LogShipper {
  /** follow a fork's sources, from where their marks say */
  ship(forkId: string): void
  /** the tree is gone: ship to the end, then `onFinal` is told */
  finish(forkId: string): void
  /** Marks are written; the next agent ships again all that was not acknowledged. */
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

interface ShipperOptions {
  bus: Bus
  fleet: string
  node: string
  store: LogStore
  clock: Clock
  settings: LogSettings
  onFinal(forkId: string, offsets: LogOffsets): void
  log(fields: Record<string, unknown>): void
}

interface Shipper extends ShipperOptions {
  readonly shipments: Map<string, Promise<Shipment>>
  readonly opened: Set<Shipment>
  readonly semaphore: ByteSemaphore
  stopped: boolean
}

export function startLogShipper(options: ShipperOptions): LogShipper {
  const { bus, clock, settings } = options
  const s: Shipper = {
    ...options,
    shipments: new Map(),
    opened: new Set(),
    semaphore: byteSemaphore(settings.windowBytesMax),
    stopped: false,
  }
  const failed = (msg: string, forkId: string) => (error: unknown) => {
    if (!s.stopped) s.log({ msg, forkId, error: String(error) })
  }
  const endLooking = clock.every(settings.markMs, () => {
    for (const shipment of s.opened)
      void look(s, shipment).catch(failed('logs cannot be looked after', shipment.forkId))
  })
  const unlink = bus.onLink((connected) => {
    if (connected) for (const { sources } of s.opened) for (const source of sources.values()) source.wake()
  })
  return {
    ship: (forkId) => void shipmentOf(s, forkId).catch(failed('logs cannot be shipped', forkId)),
    finish(forkId) {
      void shipmentOf(s, forkId)
        .then((shipment) => (shipment.finishing ? undefined : finish(s, shipment)))
        .catch(failed('logs cannot be finished', forkId))
    },
    async stop({ keepMarks }) {
      s.stopped = true
      endLooking()
      unlink()
      for (const shipment of s.opened) {
        shipment.unwatch()
        await Promise.all([...shipment.sources.values()].map((source) => source.stop()))
        if (keepMarks && shipment.dirty) await save(s, shipment)
      }
    },
  }
}

function shipmentOf(s: Shipper, forkId: string): Promise<Shipment> {
  const existing = s.shipments.get(forkId)
  if (existing !== undefined) return existing
  const opening = open(s, forkId)
  s.shipments.set(forkId, opening)
  return opening
}

async function open(s: Shipper, forkId: string): Promise<Shipment> {
  const known = await s.store.marks(forkId)
  const shipment: Shipment = {
    forkId,
    known,
    sources: new Map(),
    unwatch: () => undefined,
    throttle: throttleOf(s.settings.workerBytesPerSecond, s.clock),
    dirty: false,
    grown: false,
    finishing: false,
  }
  s.opened.add(shipment)
  if (!s.stopped)
    shipment.unwatch = s.store.watch(forkId, (source) => {
      if (s.stopped || shipment.finishing) return
      shipment.grown = true
      sourceOf(s, shipment, source).more()
    })
  return shipment
}

function sourceOf(s: Shipper, shipment: Shipment, source: string): SourceShipper {
  const existing = shipment.sources.get(source)
  if (existing !== undefined) return existing
  const { bus, fleet, node, store, semaphore, settings, clock, log } = s
  const { run, role, index, attempt } = parseForkId(shipment.forkId)!
  const shipper = startSourceShipper({
    bus,
    store,
    semaphore,
    settings,
    clock,
    log,
    subject: subjectOf(fleet, 'log', { run, role, index, attempt, source: sourceToken(source), node }),
    forkId: shipment.forkId,
    source,
    from: shipment.known[source] ?? NO_MARKS,
    throttle: shipment.throttle,
    onChange: () => void (shipment.dirty = true),
  })
  shipment.sources.set(source, shipper)
  return shipper
}

function marksOf({ known, sources }: Shipment): Record<string, SourceMarks> {
  return {
    ...known,
    ...Object.fromEntries([...sources].map(([source, shipper]) => [source, shipper.marks])),
  }
}

async function save({ store, log }: Shipper, shipment: Shipment): Promise<void> {
  shipment.dirty = false
  try {
    await store.mark(shipment.forkId, marksOf(shipment))
  } catch (error) {
    // a full disk: shipping goes on, the next agent would begin further back
    log({ msg: 'log marks cannot be written', forkId: shipment.forkId, error: String(error) })
    shipment.dirty = true
  }
}

/** Write the marks that changed, and hold sources that grew to the cap of the spool. */
async function look(s: Shipper, shipment: Shipment): Promise<void> {
  if (shipment.dirty) await save(s, shipment)
  if (!shipment.grown) return
  shipment.grown = false
  const sizes = await s.store.sizes(shipment.forkId)
  for (const [source, size] of Object.entries(sizes))
    if (size > s.settings.spoolBytesMax) await sourceOf(s, shipment, source).cap(size)
}

async function finish(s: Shipper, shipment: Shipment): Promise<void> {
  shipment.finishing = true
  shipment.unwatch()
  const there = await s.store.sizes(shipment.forkId)
  const missing = await s.store.missing(shipment.forkId)
  const names = new Set([...Object.keys(there), ...missing, ...shipment.sources.keys()])
  await Promise.all(
    [...names]
      .filter((source) => shipment.known[source]?.final !== true)
      .map((source) => sourceOf(s, shipment, source).finish()),
  )
  if (s.stopped) return
  await save(s, shipment)
  s.shipments.delete(shipment.forkId)
  s.opened.delete(shipment)
  const final = Object.entries(marksOf(shipment)).map(([source, { generation, shipped, lost }]) => [
    source,
    { bytes: shipped, lost, ...(generation > 0 && { generation }) },
  ])
  s.onFinal(shipment.forkId, Object.fromEntries(final) as LogOffsets)
}
