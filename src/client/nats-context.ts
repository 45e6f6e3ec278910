/**
 * A context for the `nats` command line, in the form and the place of its own. The secret stands in a file of
 * its own under TROUPE_HOME, 0600: its contexts may be read by others.
 */
import { join } from 'node:path'
import { atomicWrite } from '../system/atomic-write.ts'
import { homeOf } from '../system/paths.ts'
import { writePrivate } from '../system/private-file.ts'
import { credsText } from './context-files.ts'
import type { Connection } from './context.ts'

export interface NatsContext {
  context: string
  file: string
  creds: string
}

export async function exportForNats(
  env: Readonly<Record<string, string | undefined>>,
  connection: Connection,
): Promise<NatsContext> {
  const home = homeOf(env)
  const { name, url, fleet, credentials } = connection
  const base = env['XDG_CONFIG_HOME']?.startsWith('/')
    ? env['XDG_CONFIG_HOME']
    : join(env['HOME'] ?? '/', '.config')
  const context = `troupe-${name}`
  const file = join(base, 'nats', 'context', `${context}.json`)
  const creds = join(home, 'nats', `${name}.creds`)
  await writePrivate(creds, credsText(connection))
  const ca = await writeAuthority(home, connection)
  const body = {
    description: `Troupe fleet ${fleet}`,
    url,
    creds,
    inbox_prefix: credentials.inboxPrefix,
    ...(ca !== null && { ca }),
  }
  await atomicWrite(file, `${JSON.stringify(body, null, 2)}\n`)
  return { context, file, creds }
}

/** @returns the file of the authority that the credential pins, or null when it pins none */
export async function writeAuthority(
  home: string,
  { name, credentials }: Connection,
): Promise<string | null> {
  if (credentials.ca === undefined) return null
  const file = join(home, 'nats', `${name}.ca.pem`)
  await atomicWrite(file, credentials.ca)
  return file
}
