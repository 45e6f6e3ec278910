/**
 * One run, looked at again: its gangs go on, exits are judged, deadlines checked, roles started, a stop
 * carried through. Level-triggered: it may be called at any time and any number of times; what is due next
 * sets a timer.
 */
import { isTerminal } from '../../protocol/shapes.ts'
import { advanceGangs } from './aborted-gangs.ts'
import { advanceRole } from './advance-role.ts'
import { checkTimes } from './deadlines.ts'
import { tellState } from './events.ts'
import { reasonOf } from './explain.ts'
import { checkDone, finish } from './finish.ts'
import { judgeExits } from './judge-exits.ts'
import { giveOrders } from './orders.ts'
import { leaveQueue } from './queue.ts'
import { endLeftLaunchers, tellPeersOfRanks } from './rank-failures.ts'
import { liveState, setState } from './run-state.ts'
import { advanceStop, endNeverStarted, isStopped } from './stop.ts'
import type { Ctx, Run } from './types.ts'
import { update } from './update.ts'

export function decide(ctx: Ctx, run: Run): void {
  const { record } = run
  if (isTerminal(record.state)) {
    run.work.clear()
    run.exits.clear()
    return
  }
  endNeverStarted(ctx, run)
  advanceGangs(ctx, run)
  judgeExits(ctx, run)
  if (record.stopping === null) {
    tellPeersOfRanks(ctx, run)
    endLeftLaunchers(ctx, run)
  }
  if (record.stopping === null) checkTimes(ctx, run)
  if (record.stopping === null) checkDone(ctx, run)
  if (record.stopping === null) for (const role of run.roles) advanceRole(ctx, role)
  if (record.stopping !== null) {
    leaveQueue(ctx, run)
    advanceStop(ctx, run)
    endNeverStarted(ctx, run)
    if (isStopped(run)) finish(ctx, run)
  }
  if (!isTerminal(record.state)) {
    giveOrders(ctx, run)
    setState(ctx, run, record.stopping === null ? liveState(run) : 'stopping')
    if (record.state === 'pending' || record.state !== run.toldState)
      update(ctx, run, { record: { reason: reasonOf(ctx, run) } }, 'along')
  }
  // it is placed in this very step, perhaps
  if (!(ctx.s.placeDue && ctx.s.queue.has(run))) tellState(ctx, run)
}
