/** A history that people read: one line for each fact of a replayed seed. */
import type { StateOp } from '../../../src/protocol/records.ts'
import type { Fact } from '../history.ts'

export function describe(fact: Fact): string {
  return `${(fact.at / 1000).toFixed(3).padStart(8)} ${textOf(fact)}`
}

/** A part of a line, only when there is something to say. */
function when(said: unknown, text: string): string {
  return said === null || said === undefined || said === false ? '' : text
}

function textOf(fact: Fact): string {
  switch (fact.kind) {
    case 'machine': {
      const exit = 'exit' in fact ? ` ${JSON.stringify(fact.exit)}` : ''
      const signal = 'signal' in fact ? ` ${fact.signal} by ${fact.by}` : ''
      const pid = 'pid' in fact ? ` pid ${fact.pid}` : ''
      return `${fact.node} machine: ${fact.forkId} ${fact.what}${exit}${signal}${pid}`
    }
    case 'process': {
      const before = when(fact.before, ` before ${fact.before}`)
      return `${fact.name} ${fact.what}${before}${when(fact.what === 'up', ` as ${fact.incarnation}`)}`
    }
    case 'order': {
      const how = when(fact.copy > 0, ' (copy)') + when(fact.frozen, ' (frozen)')
      const order = `${fact.verb} ${fact.forks.join(' ')} epoch ${fact.epoch?.n ?? '-'}`
      return `${fact.from} → ${fact.node} ${fact.stage}${how}: ${order}`
    }
    case 'order-answer': {
      const answer = fact.lost ? 'LOST' : fact.ok ? 'ok' : fact.code
      return `${fact.to.node} answers ${fact.to.verb} ${fact.to.forks.join(' ')}: ${answer}`
    }
    case 'event':
      return `event ${eventOf(fact.subject)}${bodyText(fact.body)}`
    case 'state': {
      const { kind, epoch, ops } = fact.entry
      return `STATE ${fact.seq} by ${fact.from}: ${kind} epoch ${epoch.n} ${ops.map(opText).join('; ')}`
    }
    case 'archive':
      return `archive ${fact.status.run} ${fact.status.state}`
    case 'log': {
      const content =
        fact.record === null ? `${fact.offset}+${fact.bytes.length}` : JSON.stringify(fact.record)
      return `${fact.node} log ${fact.forkId} ${content}`
    }
    case 'event-heard':
      return `${fact.to} hears ${eventOf(fact.subject)}${when(fact.copy > 0, ' (copy)')}`
    default: {
      const { at: _, ...rest } = fact
      return JSON.stringify(rest)
    }
  }
}

function eventOf(subject: string): string {
  return subject.split('.').slice(4).join('.')
}

function bodyText(body: Extract<Fact, { kind: 'event' }>['body']): string {
  if ('phase' in body)
    return ` ${body.forkId} ${body.phase}${when(body.exit, ` ${JSON.stringify(body.exit)}`)}`
  return ` ${body.state ?? ''} ${'reason' in body ? String(body.reason) : ''}`
}

function opText(op: StateOp): string {
  if (op.op !== 'run') return op.op
  const { run, state, reason, workers } = op.run
  const all = workers.map(({ role, index, attempt, phase, node, ending }) => {
    const where = when(node, `@${node}`)
    return `${role}.${index}.${attempt} ${phase}${where}${when(ending, ` ending:${ending?.by}`)}`
  })
  return `run ${run} ${state}${when(reason, ` (${reason})`)} [${all.join(', ')}]`
}
