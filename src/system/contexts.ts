/**
 * Contexts: which bus, fleet and credentials a command uses. Owns the files under TROUPE_HOME
 * (`contexts/NAME.json`, `current`) and the credentials' form. Reading makes nothing; "there is none" is
 * null, and what to type then is said by client/context.ts.
 */
import { readdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { atomicWrite } from './atomic-write.ts'
import { readPrivate, writePrivate } from './private-file.ts'

export interface Context {
  name: string
  /** `nats://host:port`, or several with commas */
  url: string
  fleet: string
  /** the name that the server vouches for */
  user: string
  /** path of a file that holds `Credentials`, 0600 */
  credentials: string
}

/** What a credentials file holds, as JSON. */
export interface Credentials {
  /** `SU…` */
  nkeySeed: string
  /** inboxes of this credential start with it; no trailing dot or wildcard */
  inboxPrefix: string
  /** in operator mode */
  jwt?: string
  /** of an agent: a JWT of the same key that asks for the next one, and may do nothing else */
  renewal?: string
  /** PEM of the authority that signed the server's certificate */
  ca?: string
}

/** A context's name is a file name too. */
const CONTEXT_NAME = /^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$/

export function isContextName(name: string): boolean {
  return CONTEXT_NAME.test(name)
}

function contextsDir(home: string): string {
  return join(home, 'contexts')
}
export function contextFile(home: string, name: string): string {
  return join(contextsDir(home), `${name}.json`)
}
function currentFile(home: string): string {
  return join(home, 'current')
}

/** @returns the file's text, or null when it (or a directory above it) is not there */
async function readOrNull(file: string): Promise<string | null> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ENOTDIR') return null
    throw error
  }
}

function parseObject(file: string, text: string, keys: readonly string[]): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`'${file}' is not JSON: ${(error as Error).message}`, { cause: error })
  }
  for (const key of keys)
    if (typeof (value as Record<string, unknown> | null)?.[key] !== 'string')
      throw new Error(`'${file}' has no '${key}'`)
  return value as Record<string, unknown>
}

/** @throws {Error} when the file is there but is no context */
export async function readContext(home: string, name: string): Promise<Context | null> {
  if (!CONTEXT_NAME.test(name)) return null
  const file = contextFile(home, name)
  const text = await readOrNull(file)
  if (text === null) return null
  return { ...parseObject(file, text, ['url', 'fleet', 'user', 'credentials']), name } as Context
}

/** All contexts, by name; empty when there is no TROUPE_HOME. */
export async function listContexts(home: string): Promise<Context[]> {
  const names = await readdir(contextsDir(home)).catch(() => [])
  const contexts = await Promise.all(
    names
      .filter((n) => n.endsWith('.json'))
      .toSorted()
      .map((n) => readContext(home, n.slice(0, -'.json'.length))),
  )
  return contexts.filter((c) => c !== null)
}

/** Name of the context in use, or null. */
export async function currentName(home: string): Promise<string | null> {
  return (await readOrNull(currentFile(home)))?.trim() || null
}

/** The context in use, or null when none is chosen or the chosen one is gone. */
export async function currentContext(home: string): Promise<Context | null> {
  const name = await currentName(home)
  return name === null ? null : readContext(home, name)
}

/** Write a context, and take it into use unless told otherwise. */
export async function saveContext(
  home: string,
  context: Context,
  options: { use?: boolean } = {},
): Promise<void> {
  if (!CONTEXT_NAME.test(context.name)) throw new Error(`'${context.name}' cannot name a context`)
  await atomicWrite(contextFile(home, context.name), `${JSON.stringify(context, null, 2)}\n`)
  if (options.use !== false) await useContext(home, context.name)
}

export function useContext(home: string, name: string): Promise<void> {
  return atomicWrite(currentFile(home), `${name}\n`)
}

export function useNoContext(home: string): Promise<void> {
  return rm(currentFile(home), { force: true })
}

/**
 * @returns null when the file is not there. @throws {Fault} PERMISSION when others can read or exchange it,
 * {Error} when it is no such file
 */
export async function readCredentials(file: string): Promise<Credentials | null> {
  const text = await readPrivate(file)
  return text === null
    ? null
    : (parseObject(file, text, ['nkeySeed', 'inboxPrefix']) as unknown as Credentials)
}

export function writeCredentials(file: string, credentials: Credentials): Promise<void> {
  return writePrivate(file, `${JSON.stringify(credentials, null, 2)}\n`)
}
