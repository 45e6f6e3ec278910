/**
 * Contexts that come from somebody else's fleet, and those that go to other programs: adding one from a
 * credential file, removing it, and writing one out. Owns where the credentials of an added context lie;
 * contexts themselves are system/contexts.ts'.
 */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../protocol/faults.ts'
import {
  contextFile,
  currentName,
  isContextName,
  listContexts,
  readContext,
  saveContext,
  useNoContext,
  writeCredentials,
  type Context,
} from '../system/contexts.ts'
import type { Connection } from './context.ts'
import { credentialText, type ReadCredential } from './credential-file.ts'

/** What `up` calls the fleet of this home: the next `up` would write over it. */
const OF_THE_HOME = 'local'

function addedCredentials(home: string, name: string): string {
  return join(home, 'credentials', `${name}.json`)
}

export interface AddOptions {
  /** default: the fleet's name */
  name?: string
  /** write over a context of that name */
  replace: boolean
  /** take it into use, though another one is */
  use: boolean
}

/**
 * @returns the context, and whether it is in use now
 * @throws {Fault} USAGE for a name that cannot be, or a node's credential; EXISTS for one that is there
 */
export async function addContext(
  home: string,
  { file }: ReadCredential,
  { name = file.fleet, replace, use }: AddOptions,
): Promise<Context & { current: boolean }> {
  if (file.role === 'agent')
    throw new Fault('USAGE', `this is the credential of a node, '${file.node}', not of a person`, {
      hint: 'an agent joins with it: troupe agent --credential FILE',
    })
  if (!isContextName(name))
    throw new Fault('USAGE', `'${name}' cannot name a context: letters, digits, - and _; at most 40`)
  if (name === OF_THE_HOME)
    throw new Fault('USAGE', `'${name}' is the context of the fleet that is started here`, {
      hint: 'another name: --name NAME',
    })
  const there = await readContext(home, name)
  if (there !== null && !replace)
    throw new Fault('EXISTS', `there is a context '${name}' (fleet ${there.fleet} at ${there.url})`, {
      hint: 'another name: --name NAME; or write over it: --replace',
    })
  const inUse = await currentName(home)
  const current = use || inUse === name || inUse === null || (await readContext(home, inUse)) === null
  const credentials = addedCredentials(home, name)
  await writeCredentials(credentials, file.credentials)
  const context = { name, url: file.url, fleet: file.fleet, user: file.user, credentials }
  await saveContext(home, context, { use: current })
  return { ...context, current }
}

/**
 * The credentials of a context that was added go with it; those of a fleet of this home stay.
 *
 * @returns the one that is in use now, and the names of those that are left
 */
export async function removeContext(
  home: string,
  { name, credentials }: Context,
): Promise<{ inUse: string | null; left: string[] }> {
  if ((await currentName(home)) === name) await useNoContext(home)
  await rm(contextFile(home, name), { force: true })
  if (credentials === addedCredentials(home, name)) await rm(credentials, { force: true })
  const left = (await listContexts(home)).map((context) => context.name)
  return { inUse: await currentName(home), left }
}

/** A context as one file, for another machine. @throws {Fault} USAGE for a credential of an older form */
export function contextText({ url, fleet, user, credentials }: Connection): string {
  const jwt = jwtOf(credentials)
  return credentialText({
    role: roleOf(credentials.inboxPrefix),
    user,
    fleet,
    url,
    credentials: { ...credentials, jwt },
  })
}

/** The role is the server's to know; the prefix of the inboxes was made from it. */
function roleOf(inboxPrefix: string): 'client' | 'observer' {
  return inboxPrefix.startsWith('_INBOX.observer-') ? 'observer' : 'client'
}

/**
 * The standard file of NATS: the JWT and the seed, for any client library.
 *
 * @see https://docs.nats.io/using-nats/developer/connecting/creds
 */
export function credsText({ credentials }: Connection): string {
  return `-----BEGIN NATS USER JWT-----
${jwtOf(credentials)}
------END NATS USER JWT------

************************* IMPORTANT *************************
The seed below signs in as you: keep it secret.

-----BEGIN USER NKEY SEED-----
${credentials.nkeySeed}
------END USER NKEY SEED------

*************************************************************
`
}

function jwtOf({ jwt }: Connection['credentials']): string {
  if (jwt !== undefined) return jwt
  throw new Fault('USAGE', 'the credential of this context is an NKey without a JWT, of an earlier version', {
    hint:
      'at home a new one is made by: troupe up; ' +
      'elsewhere the owner of the fleet makes one: troupe user add NAME -o FILE',
  })
}
