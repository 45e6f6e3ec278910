/** Where a fleet's own bus keeps a stream: JetStream names the directory after the account's key. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Minter } from '../../src/transport/nats/tenant-accounts.ts'

/** The directory of a stream's messages. */
export async function messagesOf({ home }: { home: string }, stream: string): Promise<string> {
  const { accounts } = JSON.parse(await readFile(join(home, 'keys/main/signing.json'), 'utf8')) as Minter
  const streams = join(home, 'local/main/bus/store/jetstream', accounts.core, 'streams')
  return join(streams, `troupe_main_${stream}`, 'msgs')
}
