/** `troupe down`: end the fleet here, with receipts; returns when all of it is gone. */
import { existsSync } from 'node:fs'
import { takeDown } from '../../fleet/down.ts'
import { homeLayout, layoutOfContext, ownName } from '../../fleet/home.ts'
import type { FleetLayout } from '../../fleet/layout.ts'
import { takeUpLock } from '../../fleet/up-lock.ts'
import { Fault } from '../../protocol/faults.ts'
import { currentName } from '../../system/contexts.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { receiptsTable } from '../render/receipts.ts'
import type { Io } from '../frame/io.ts'

/** An `up` that is under way is waited for: what it is starting has to go, too. */
const LOCK_MS = 180_000

export const command: CliCommand = {
  name: 'down',
  summary: 'end the fleet here: runs, agents, coordinator, bus',
  register(program, io) {
    verb(program, 'down', command.summary)
      .option('--keep-workers', 'leave the workers: the next `up` finds them')
      .action((flags: { keepWorkers?: boolean }) => down(io, flags.keepWorkers === true))
  },
}

async function down(io: Io, keepWorkers: boolean): Promise<void> {
  io.outliveStdout()
  const layout = await meantLayout(io)
  const nothing = (): void =>
    io.json ? io.printJson({ receipts: [], ended: [] }) : io.stderr('nothing is up here')
  if (!existsSync(layout.dir)) return nothing()
  const say = (line: string): void => io.stderr(line)
  const release = await takeUpLock(layout.upLock, 'down', LOCK_MS, (holder) => say(`waiting for ${holder}`))
  try {
    const { receipts, ended } = await takeDown({ layout, user: ownName(), keepWorkers, say })
    if (ended.length === 0 && receipts.length === 0) return nothing()
    if (io.json) io.printJson({ receipts, ended })
    else if (io.quiet) for (const { worker } of receipts) io.stdout(`${worker}\n`)
    else if (receipts.length > 0) io.stdout(receiptsTable(receipts))
    say(`ended: ${ended.join(', ') || 'nothing but workers'}`)
    const left = receipts.filter(({ outcome }) => outcome !== 'gone')
    if (left.length > 0) {
      io.stderr(`no proof that these are gone: ${left.map(({ worker }) => worker).join(', ')}`, {
        always: true,
      })
      io.setExit(1)
    } else if (!keepWorkers) say('nothing is left running')
  } finally {
    release()
  }
}

/** The fleet of `--context`, else of the context in use when that is a fleet of this home, else its own. */
async function meantLayout(io: Io): Promise<FleetLayout> {
  const env = io.env as NodeJS.ProcessEnv
  const name = io.context ?? (await currentName(homeOf(env)))
  const layout = name === null ? null : await layoutOfContext(env, name)
  if (layout === null && io.context !== undefined)
    throw new Fault('CONN', `the context '${io.context}' is not of a fleet of this home`, {
      hint: 'which there are: troupe context list',
    })
  return layout ?? homeLayout(env)
}
