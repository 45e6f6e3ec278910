/** I9: a leader that was deposed has no effect. */
import { type Check, resetIn } from './invariant.ts'

export const deposedHasNoEffect: Check = ({ facts }, found) => {
  /** highest epoch that an incarnation has obeyed */
  const obeyed = new Map<string, { storeId: string; n: number }>()
  const atDelivery = new Map<string, number>()
  const epochs = new Map<string, number>()
  const leader = { writer: '', since: Infinity }
  const incarnations = new Map<string, string>()
  for (const fact of facts) {
    if (fact.kind === 'process' && fact.what === 'up') incarnations.set(fact.name, fact.incarnation)
    if (fact.kind === 'order' && fact.stage === 'delivered' && !['inventory', 'adopt'].includes(fact.verb)) {
      const highest = obeyed.get(fact.incarnation)
      if (highest !== undefined && highest.storeId === fact.epoch?.storeId)
        atDelivery.set(fact.reply, Math.max(atDelivery.get(fact.reply) ?? 0, highest.n))
    }
    if (
      fact.kind === 'order-answer' &&
      fact.ok &&
      !fact.lost &&
      fact.to.epoch !== null &&
      !['inventory', 'adopt'].includes(fact.to.verb)
    ) {
      const { epoch, incarnation, reply } = fact.to
      const highest = atDelivery.get(reply)
      if (highest !== undefined && epoch.n < highest)
        found(
          fact.at,
          `${fact.to.node} obeyed ${fact.to.verb} ${fact.to.forks.join(', ')} of epoch ${epoch.n} after one of ${highest}`,
        )
      const known = obeyed.get(incarnation)
      if (known === undefined || known.storeId !== epoch.storeId || known.n < epoch.n)
        obeyed.set(incarnation, epoch)
    }
    if (fact.kind === 'state') {
      const { epoch, writer, kind } = fact.entry
      if ((epochs.get(epoch.storeId) ?? 0) > epoch.n)
        found(
          fact.at,
          `${fact.from} wrote STATE in epoch ${epoch.n} after epoch ${epochs.get(epoch.storeId)}`,
        )
      if (kind === 'takeover' && epochs.get(epoch.storeId) === epoch.n)
        found(fact.at, `${fact.from} took over in epoch ${epoch.n}, which was another's`)
      if (epochs.size > 0 && !epochs.has(epoch.storeId) && resetIn(facts) > fact.at)
        found(fact.at, `${fact.from} speaks of another store, and none was lost`)
      epochs.set(epoch.storeId, epoch.n)
      if (kind === 'takeover' && leader.writer !== writer) Object.assign(leader, { writer, since: fact.at })
    }
    // an answer is a few ms under way: what was sent before the takeover is no offence
    if (
      fact.kind === 'served' &&
      fact.ok &&
      fact.at - leader.since > 10 &&
      incarnations.get(fact.from) !== leader.writer
    )
      found(fact.at, `${fact.from} answered ${fact.verb} after it was deposed`)
  }
}
