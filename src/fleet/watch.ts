/**
 * The loop of an attached `up` after everything serves. It starts a component again when that died, later
 * each time the component dies young, until it is interrupted or `down` came.
 */
import { findBus } from './bus.ts'
import { readForeignBus } from './foreign-bus.ts'
import { announcePresence, listPresent } from './presence.ts'
import { takeUpLock } from './up-lock.ts'
import { bringUp, nodeNames, readWanted, type UpOptions } from './up.ts'

const LOOK_MS = 250
const BACKOFF_MS = [500, 30_000] as const
/** A component that lived so long begins anew with the shortest pause. */
const STEADY_MS = 60_000

/** @returns why it ended: `interrupted` (the caller takes the fleet down), or `down` (somebody else did) */
export async function watchFleet(options: UpOptions): Promise<'interrupted' | 'down'> {
  const { layout, signal, say } = options
  const leave = await announcePresence(layout.presence, 'up')
  let pauseMs: number = BACKOFF_MS[0]
  let repairedAt = -Infinity
  /** null: nothing is known to be dead */
  let repairAt: number | null = null
  try {
    for (;;) {
      await pause(LOOK_MS, signal)
      if (signal.aborted) return 'interrupted'
      if ((await readWanted(layout)) === null) return 'down'
      const now = performance.now()
      if (repairAt === null) {
        const dead = await deadComponents(options)
        if (dead.length === 0) continue
        pauseMs = now - repairedAt > STEADY_MS ? BACKOFF_MS[0] : Math.min(pauseMs * 2, BACKOFF_MS[1])
        repairAt = now + pauseMs
        say(`died: ${dead.join(', ')}; started again in ${pauseMs / 1000} s`)
      } else if (now >= repairAt) {
        await repair(options).catch((error: unknown) => say(`not started: ${(error as Error).message}`))
        repairedAt = performance.now()
        repairAt = null
      }
    }
  } finally {
    await leave()
  }
}

async function repair(options: UpOptions): Promise<void> {
  const { layout, say } = options
  const release = await takeUpLock(layout.upLock, 'up', 60_000)
  try {
    const wanted = await readWanted(layout)
    if (wanted === null) return
    const { pids } = await bringUp({ ...options, wanted, listen: {} })
    say(
      `up: ${pids.bus === null ? '' : `bus ${pids.bus}, `}coordinator ${pids.coordinator}, ${Object.entries(
        pids.agents,
      )
        .map(([node, pid]) => `${node} ${pid}`)
        .join(', ')}`,
    )
  } finally {
    release()
  }
}

async function deadComponents({ layout, wanted }: UpOptions): Promise<string[]> {
  const present = await listPresent(layout.presence)
  const agents = nodeNames((await readWanted(layout))?.agents ?? wanted.agents).filter(
    (node) => !present.some((component) => component.kind === 'agent' && component.node === node),
  )
  return [
    ...((await findBus(layout)) === null && (await readForeignBus(layout)) === null ? ['bus'] : []),
    ...(present.some((component) => component.kind === 'coordinator') ? [] : ['coordinator']),
    ...agents.map((node) => `agent ${node}`),
  ]
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms)
    function done(): void {
      clearTimeout(timer)
      signal.removeEventListener('abort', done)
      resolve()
    }
    if (signal.aborted) done()
    else signal.addEventListener('abort', done)
  })
}
