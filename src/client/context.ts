/**
 * From what the caller said, and the context in use, to one connection's particulars. Says what to type when
 * there is none. Reads files alone; makes nothing.
 */
import { Fault, isFault } from '../protocol/faults.ts'
import { nearest } from '../protocol/names.ts'
import {
  currentContext,
  currentName,
  listContexts,
  readContext,
  readCredentials,
  type Context,
  type Credentials,
} from '../system/contexts.ts'
import { homeOf } from '../system/paths.ts'
import type { Resolving } from './resolver.ts'

export interface ConnectOptions extends Resolving {
  /** name of a context under TROUPE_HOME; default: the one in use */
  context?: string
  /** TROUPE_HOME; default as DESIGN.md section 14 says */
  home?: string
  /** with url, fleet, user and credentials all given no context is read */
  url?: string
  fleet?: string
  user?: string
  /** a credentials file, or its content */
  credentials?: string | Credentials
  /** how long to go on trying to reach the bus, ms; default: one try */
  connectTimeoutMs?: number
  /** told why the bus is not reached, at once and then each 10 s: while it is waited for, and later */
  onTrouble?(trouble: Fault): void
}

export interface Connection extends Omit<Context, 'credentials'> {
  credentials: Credentials
  /** the file that they came from, or null */
  credentialsFile: string | null
}

const UP = 'start a fleet here with: troupe up'

/** @throws {Fault} CONN when there is no such context, none in use, or its credentials are not there */
export async function findContext(options: { context?: string; home?: string } = {}): Promise<Context> {
  const home = options.home ?? homeOf()
  if (options.context === undefined) {
    const context = await currentContext(home).catch(unreadable)
    if (context !== null) return context
    const name = await currentName(home)
    throw new Fault(
      'CONN',
      name === null
        ? `no context is in use (looked in '${home}')`
        : `the context in use, '${name}', is not there (looked in '${home}')`,
      { hint: UP },
    )
  }
  const context = await readContext(home, options.context).catch(unreadable)
  if (context !== null) return context
  const names = (await listContexts(home).catch(() => [])).map((c) => c.name)
  const near = nearest(options.context, names)
  throw new Fault(
    'CONN',
    `there is no context '${options.context}'${near === null ? '' : `; did you mean '${near}'?`}`,
    { hint: names.length > 0 ? `there are: ${names.join(', ')}` : UP },
  )
}

/** @throws {Fault} CONN, or PERMISSION for a credentials file that others can read or exchange */
export async function findConnection(options: ConnectOptions = {}): Promise<Connection> {
  const { url, fleet, user, credentials } = options
  const complete = url !== undefined && fleet !== undefined && user !== undefined && credentials !== undefined
  const context: Context = complete
    ? { name: '', url, fleet, user, credentials: typeof credentials === 'string' ? credentials : '' }
    : {
        ...(await findContext(options)),
        ...(url !== undefined && { url }),
        ...(fleet !== undefined && { fleet }),
        ...(user !== undefined && { user }),
        ...(typeof credentials === 'string' && { credentials }),
      }
  if (typeof credentials === 'object') return { ...context, credentials, credentialsFile: null }
  const read = await readCredentials(context.credentials).catch(unreadable)
  if (read === null)
    throw new Fault('CONN', `the credentials '${context.credentials}' are not there`, { hint: UP })
  return { ...context, credentials: read, credentialsFile: context.credentials }
}

function unreadable(error: unknown): never {
  if (isFault(error)) throw error
  throw new Fault('CONN', (error as Error).message, {
    hint: 'is TROUPE_HOME right, and readable for you?',
    cause: error,
  })
}
