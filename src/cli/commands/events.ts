/** `troupe events [REF]`: what happened, one line each; without a ref (or `all`) of everything. */
import type { TroupeEvent } from '../../client/events.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { leftBehindText } from '../../protocol/exit-words.ts'
import { sentText } from '../../protocol/signal-words.ts'
import { clockText, durationText, exitText, receiptText } from '../render/text.ts'
import { withTroupe } from '../frame/with-troupe.ts'

/** Workers' last words are waited for this long after the end of their run. */
const LAST_WORDS_MS = 3000

export const command: CliCommand = {
  name: 'events',
  summary: 'show what happened to a run, or to everything',
  register(program, io) {
    verb(program, 'events [ref]', this.summary)
      .option('-f, --follow', 'go on until the run has ended')
      .action((ref: string | undefined, flags: { follow?: boolean }) =>
        withTroupe(io, async (troupe) => {
          const one = ref === undefined || ref === 'all' ? undefined : ref
          const follow = flags.follow === true
          const over = new AbortController()
          const leave = (): void => over.abort()
          io.closed.addEventListener('abort', leave)
          const open = new Set<string>()
          let ended = false
          let late: NodeJS.Timeout | undefined
          const isNews = newsFilter()
          for await (const event of troupe.watch(one, { live: follow, signal: over.signal })) {
            if (io.json) io.stdout(`${JSON.stringify(event)}\n`)
            else if (isNews(event)) io.stdout(`${eventText(event)}\n`)
            await io.drained()
            if (!follow || one === undefined) continue
            // the last words of workers come from their nodes, and may come after the run's
            if ('forkId' in event && event.what === 'started') open.add(event.forkId)
            if ('forkId' in event && ['logs-final', 'cancelled'].includes(event.what))
              open.delete(event.forkId)
            if (event.what === 'ended') {
              ended = true
              late = setTimeout(leave, LAST_WORDS_MS)
            }
            if (ended && open.size === 0) leave()
          }
          clearTimeout(late)
        }),
      )
  },
}

/** More is known of ranks than a line says: one that says the same again is no news. */
function newsFilter(): (event: TroupeEvent) => boolean {
  const said = new Map<string, string>()
  return (event) => {
    if (event.what !== 'ranks' || !('forkId' in event)) return true
    const text = detail(event)
    if (said.get(event.forkId) === text) return false
    said.set(event.forkId, text)
    return true
  }
}

export function eventText(event: TroupeEvent): string {
  const subject =
    'role' in event ? `${event.run}/${event.role}/${event.index}` : 'run' in event ? event.run : event.node
  return `${clockText(event.at)}  ${subject}  ${event.what}${detail(event)}`
}

function detail(event: TroupeEvent): string {
  if ('state' in event) {
    const fault = event.what === 'rejected' && event.fault !== null ? String(event.fault['message']) : null
    const why = event.reason ?? fault
    const state = event.what === event.state ? '' : `  ${event.state}`
    return `${state}${why === null ? '' : `: ${why}`}${event.code === null ? '' : `, code ${event.code}`}`
  }
  if (!('phase' in event)) return event.reason === null ? '' : `: ${event.reason}`
  const facts: Partial<Record<string, string | null>> = {
    prepared: `on ${event.node}`,
    started: `on ${event.node}, pid ${event.pid}${event.addr === null ? '' : `, ${event.addr}`}`,
    ready: event.addr,
    unready: event.readyReason,
    exited: exitText(event.exit),
    gone: [receiptText(event.receipt), leftBehindText(event.receipt)]
      .filter((text) => text !== null)
      .join('; '),
    signalled: event.signals === undefined ? null : sentText(event.signals.at(-1)!),
    saved: event.saved == null ? 'no' : `after ${durationText(event.saved.ms)}`,
    ranks: `${event.ranks.filter((rank) => rank.state === 'running').length} of ${event.ranks.length} run`,
  }
  const fact = facts[event.what]
  return fact ? `  ${fact}` : ''
}
