/**
 * What becomes of a link that was there: why it broke, why it does not come back, and a renewed credential
 * that is taken meanwhile. Reads the events of the client library, and tells.
 */
import { Fault } from '../../protocol/faults.ts'
import type { Clock } from '../../system/clock.ts'
import type { CredentialHolder } from './credential-holder.ts'
import { refusalOf, type Refused } from './credential-words.ts'
import { downTeller } from './dial.ts'

/** How often the source of a credential is asked for a renewed one while the link is down. */
const RENEW_MS = 1000

export interface Watched {
  where: string
  holder: CredentialHolder
  clock: Clock
  /** why it is not reached now; null when nothing is in the way */
  diagnose(): Promise<Fault | null>
  tell(trouble: Fault): void
  /** the name of the server that is there now */
  serverName(): string | null
}

/** An event of the client library, as much as is read. */
interface LinkEvent {
  type: string
  data: unknown
}

const CUTS: Readonly<Record<string, NonNullable<Refused['cut']>>> = {
  AUTHENTICATION_EXPIRED: 'expired',
  ACCOUNT_EXPIRED: 'account-expired',
}

export function watchLink({ where, holder, clock, diagnose, tell, serverName }: Watched) {
  const teller = downTeller(diagnose, tell, clock)
  let cut: Fault | null = null
  // the library tells of each try that is refused as of a link that breaks
  let isDown = false
  let stopRenewing = (): void => {}

  const cutFault = (): Fault =>
    cut ??
    new Fault('CONN', `the link to the bus at ${where} broke`, { data: { address: where, reason: 'closed' } })
  const saw = ({ type, data }: LinkEvent): void => {
    if (type === 'error' && String(data) in CUTS) {
      holder.wasCut(CUTS[String(data)]!)
      const { reason, text, hint } = refusalOf(holder.refused(clock.wall(), serverName()))
      cut = new Fault('PERMISSION', `the bus at ${where} cut the link of this credential: ${text}`, {
        hint,
        data: { address: where, reason },
      })
    } else if (type === 'disconnect' && !isDown) {
      isDown = true
      stopRenewing = clock.every(RENEW_MS, () => void holder.renew())
      void holder.renew()
      teller.down(cutFault())
      cut = null
    } else if (type === 'reconnect') {
      isDown = false
      stopRenewing()
      holder.letIn(serverName())
      teller.up()
    }
  }
  return {
    saw,
    /** nothing is told of a connection that is closed */
    end(): void {
      stopRenewing()
      teller.end()
    },
  }
}
