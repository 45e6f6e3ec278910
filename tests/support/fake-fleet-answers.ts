/**
 * What the coordinator and the agent of a fake fleet answer, by the table, from what the test has set.
 */
import { summaryOfStatus } from '../../src/core/coordinator/status.ts'
import { Fault } from '../../src/protocol/faults.ts'
import { forkIdOf } from '../../src/protocol/names.ts'
import { fillPage } from '../../src/protocol/pages.ts'
import type { RunStatus } from '../../src/protocol/shapes.ts'
import { HEADERS } from '../../src/protocol/table.ts'
import type { Messenger } from '../../src/transport/messenger.ts'
import { summary, type FakeFleet } from './fake-fleet.ts'

/** The truth that is answered from. */
export type Truth = Omit<FakeFleet, 'troupe' | 'as' | 'client' | 'messenger'>
type Asked = { body: unknown; headers: Readonly<Record<string, string>> }

function note(fleet: Truth, verb: string, { body, headers }: Asked): void {
  fleet.asked.push({ verb, body, key: headers[HEADERS.key] })
}
function pageFrom<T>(fleet: Truth, items: T[], { count = Infinity }: { count?: number | undefined }) {
  return fillPage(items, (item) => item, { count: Math.min(count, fleet.pageCount) })
}
function known(fleet: Truth, run: string): RunStatus {
  const status = fleet.statuses.get(run)
  if (status === undefined) throw new Fault('WORKER_NOT_FOUND', `there is no run '${run}'`)
  return status
}

/** Everything that a coordinator answers. */
export function serveCoordinator(boss: Messenger, fleet: Truth) {
  return [
    boss.serve('coordinator.launch', {}, (request, { reply }) => {
      note(fleet, 'launch', request)
      reply({ run: fleet.onLaunch(request.body, request.headers[HEADERS.key]!), existing: false })
    }),
    ...serveLists(boss, fleet),
    boss.serve('coordinator.explain', {}, (request, { reply }) => {
      known(fleet, request.body.run)
      reply({
        lines: [
          {
            subject: request.body.run,
            text: 'is running: the run clock is ticking',
            next: 'troupe logs -f last',
          },
        ],
      })
    }),
    boss.serve('coordinator.answer', {}, (request, { reply, fault }) => {
      const answer = fleet.answers.get(request.body.key)
      if (answer === undefined) fault(new Fault('WORKER_NOT_FOUND', 'no such key'))
      else reply(answer)
    }),
    boss.serve('coordinator.signal', {}, (request, { reply, fault }) => {
      note(fleet, 'signal', request)
      const { run, role, rank } = request.body
      const own = fleet.refused.find(({ worker }) => [run, `${run}/${role}:${rank}`].includes(worker))
      const refused = fleet.refused.filter(({ worker }) => worker.startsWith(`${run}/`))
      if (own !== undefined) return fault(new Fault('FAILED', own.reason))
      reply({ workers: [`${run}/main/0`], ...(rank === undefined && refused.length > 0 && { refused }) })
    }),
    ...(['stop', 'kill'] as const).map((how) =>
      boss.serve(`coordinator.${how}`, {}, (request, { reply }) => {
        note(fleet, how, request)
        reply({ workers: known(fleet, request.body.run).workers.map((w) => w.worker) })
        fleet.onEnd(how, request.body)
      }),
    ),
  ]
}

function serveLists(boss: Messenger, fleet: Truth) {
  return [
    boss.serve('coordinator.status', {}, (request, { reply }) => {
      note(fleet, 'status', request)
      fleet.onStatus()
      const { run, role, index, from } = request.body
      const status = known(fleet, run)
      const asked = status.workers.filter(
        (w) => (role === undefined || w.role === role) && (index === undefined || w.index === index),
      )
      const start = Math.max(
        0,
        asked.findIndex((w) => w.worker === from),
      )
      const { items, next } = pageFrom(fleet, asked.slice(start), request.body)
      reply({ ...status, workers: items, next: next?.worker ?? null })
    }),
    boss.serve('coordinator.list', {}, (request, { reply }) => {
      note(fleet, 'list', request)
      const runs = [...fleet.statuses.values()].filter((s) => request.body.all === true || s.endedAt === null)
      const start = Math.max(
        0,
        runs.findIndex((s) => s.run === request.body.from),
      )
      const { items, next } = pageFrom(fleet, runs.slice(start), request.body)
      reply({
        next: next?.run ?? null,
        partial: fleet.partial,
        runs: items.map((s) => summary(s.run, { ...summaryOfStatus(s), workers: 1, ready: 1 })),
      })
    }),
    boss.serve('coordinator.nodes', {}, (request, { reply }) => {
      const start = fleet.nodes.findIndex((n) => n.node >= (request.body.from ?? ''))
      const { items, next } = pageFrom(fleet, fleet.nodes.slice(Math.max(0, start)), request.body)
      reply({ nodes: items, next: next?.node ?? null })
    }),
  ]
}

/**
 * As the agent does: a worker that nobody holds is known at once, an attempt that it does not hold is met
 * with silence.
 */
export function serveLogs(boss: Messenger, fleet: Truth) {
  return [
    boss.serve('worker.health', {}, () => {}),
    ...[...new Set([...fleet.files.keys()].map((forkId) => forkId.slice(0, forkId.lastIndexOf('.'))))].map(
      (place) => serveWorker(boss, fleet, place),
    ),
  ]
}

function serveWorker(boss: Messenger, fleet: Truth, place: string) {
  const [ofRun, ofRole, ofIndex] = place.split('.') as [string, string, string]
  return boss.serve('worker.log', { run: ofRun, role: ofRole, index: ofIndex }, (request, { reply }) => {
    const { run, role, index } = request.params
    const { attempt = 1, source, bytesMax = 262_144, tailLines } = request.body
    const forkId = forkIdOf(run, role, Number(index), attempt)
    const files = fleet.files.get(forkId)
    if (files === undefined) return
    const sources = Object.fromEntries(
      [...files].map(([name, bytes]) => [
        name,
        {
          size: bytes.length,
          floor: fleet.floors.get(`${forkId} ${name}`) ?? 0,
          generation: fleet.generations.get(`${forkId} ${name}`) ?? 0,
        },
      ]),
    )
    const common = { node: 'n0', forkId, attempt, sources, final: fleet.final.has(forkId) }
    const file = source === undefined ? undefined : files.get(source)
    if (source === undefined || file === undefined)
      return reply({ ...common, source: null, offset: 0, bytes: new Uint8Array(0) })
    let offset = request.body.offset ?? 0
    if (tailLines !== undefined) {
      const lines = file.toString('latin1').split(/(?<=\n)/)
      offset = file.length - lines.slice(-tailLines).join('').length
    }
    const floor = fleet.floors.get(`${forkId} ${source}`) ?? 0
    if (offset < floor) throw new Fault('GONE', 'no longer kept', { data: { floor } })
    reply({ ...common, source, offset, bytes: new Uint8Array(file.subarray(offset, offset + bytesMax)) })
  })
}
