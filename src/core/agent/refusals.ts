/**
 * Which orders are obeyed: those of the newest coordinator of our store that were read in time and name forks
 * that can be. Owns the highest epoch that was heard.
 */
import { Fault } from '../../protocol/faults.ts'
import type { Epoch } from '../../protocol/shapes.ts'
import { TABLE, type OrderVerb, type Row } from '../../protocol/table.ts'
import { isForkId } from './report.ts'
import type { AgentEvent, AgentState, Order, Out } from './agent-state.ts'

export type OrderEvent = Extract<AgentEvent, { type: 'order' }>

function rowOf(verb: OrderVerb): Row {
  return TABLE[`node.${verb}`]
}

/** Why an order is not obeyed; null when it is. */
export function refusalOf(state: AgentState, { request, epoch, notAfter, at }: OrderEvent): Fault | null {
  const { verb } = request
  if (rowOf(verb).untimed !== true) {
    if (notAfter === null) return new Fault('EXPIRED', `${verb} came without Troupe-Not-After`)
    if (at > notAfter)
      return new Fault('EXPIRED', `${verb} was read ${Math.ceil(at - notAfter)} ms too late`, {
        data: { lateMs: at - notAfter },
      })
  }
  if (rowOf(verb).anyEpoch !== true) {
    if (epoch === null) return new Fault('STALE_EPOCH', `${verb} came without Troupe-Epoch`)
    if (state.epoch !== null && epoch.storeId !== state.epoch.storeId) {
      state.storeRefused = true
      return new Fault(
        'STORE_UNKNOWN',
        `the state store was made anew (${epoch.storeId}; this node knows ${state.epoch.storeId})`,
        { hint: `accept it with: troupe nodes adopt ${state.node}` },
      )
    }
    if (state.epoch !== null && epoch.n < state.epoch.n)
      return new Fault('STALE_EPOCH', `${verb} comes from epoch ${epoch.n}, deposed by ${state.epoch.n}`, {
        data: { epoch: state.epoch },
      })
  }
  const bad = forkIdsOf(request).find((forkId) => !isForkId(forkId))
  if (bad !== undefined) return new Fault('REQUEST_INVALID', `'${bad}' is no fork id`)
  if (request.verb === 'prepare') {
    const odd = request.body.forks.find(
      (spec) => spec.forkId !== `${spec.run}.${spec.role}.${spec.index}.${spec.attempt}`,
    )
    if (odd !== undefined)
      return new Fault(
        'REQUEST_INVALID',
        `'${odd.forkId}' is not the id of ${odd.run}/${odd.role}/${odd.index}, attempt ${odd.attempt}`,
      )
  }
  return null
}

function forkIdsOf(request: Order): string[] {
  switch (request.verb) {
    case 'prepare':
    case 'start':
    case 'kill':
      return request.body.forks.map((fork) => fork.forkId)
    case 'cancel':
    case 'release':
      return request.body.forks
    case 'signal':
      return [request.body.forkId]
    case 'inventory':
    case 'adopt':
      return []
    default:
      return request satisfies never
  }
}

/** An accepted order is a sign of life, and its epoch the lowest that is obeyed from now on. */
export function obeyEpoch(state: AgentState, { request, epoch, at }: OrderEvent, out: Out): void {
  if (rowOf(request.verb).anyEpoch === true) return
  state.coordinatorAt = at
  state.contactAt = at
  raiseEpoch(state, epoch!, out)
}

/** Remember a higher epoch of the store that is ours (or of the first one that is heard of). */
export function raiseEpoch(state: AgentState, epoch: Epoch, out: Out): void {
  if (state.epoch !== null && (epoch.storeId !== state.epoch.storeId || epoch.n <= state.epoch.n)) return
  state.epoch = epoch
  out.push({ type: 'remember', epoch, order: null })
}
