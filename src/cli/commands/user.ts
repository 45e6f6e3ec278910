/** `troupe user add | list | revoke`: credentials of people, for the fleet whose keys are in this home. */
import { findConnection } from '../../client/context.ts'
import { homeLayout, ownName } from '../../fleet/home.ts'
import { lives, readIssued, type Issued } from '../../fleet/issued.ts'
import type { FleetLayout } from '../../fleet/layout.ts'
import { addPerson, minterOf, PEOPLE, type AddedPerson, type PersonRole } from '../../fleet/people.ts'
import { revokeIssued, type Revoked } from '../../fleet/revoke.ts'
import { takeUpLock } from '../../fleet/up-lock.ts'
import type { Fault } from '../../protocol/faults.ts'
import type { Context, Credentials } from '../../system/contexts.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { choiceOption, durationOption } from '../frame/options.ts'
import { refuseOpenOutput, writeSecret } from '../frame/secret-output.ts'
import { table } from '../render/table.ts'
import { durationText } from '../render/text.ts'

const LOCK_MS = 180_000
const DEFAULT_MS = 90 * 24 * 3600 * 1000

interface AddFlags {
  role: PersonRole
  expires: number
  replace?: boolean
  output?: string
}

export const command: CliCommand = {
  name: 'user',
  summary: 'credentials of people: add, list, revoke',
  register(program, io) {
    const user = program.command('user').summary(this.summary).description(this.summary)
    verb(user, 'add <person>', 'make a credential for a person: one file, which `context add` takes there')
      .option(
        '--role <role>',
        'client: launches and ends runs; observer: looks',
        choiceOption(PEOPLE),
        'client',
      )
      .option(
        '--expires <time>',
        'it ends after so long, at most 366d (default: 90d)',
        durationOption,
        DEFAULT_MS,
      )
      .option('--replace', 'end the credential that the name has, and make a new one')
      .option('-o, --output <file>', 'write it to a new file, 0600, rather than to stdout')
      .action((name: string, flags: AddFlags) => add(io, name, flags))
    verb(user, 'list', 'list who has a credential, until when').action(() => list(io))
    verb(user, 'revoke <person>', 'end a credential now: by name, or by its public key (U…)').action(
      (word: string) => revoke(io, word),
    )
  },
}

interface OwnFleet {
  context: Context
  own: Credentials
  layout: FleetLayout
}

async function ownFleet(io: Io): Promise<OwnFleet> {
  const { credentials, credentialsFile, ...context } = await findConnection({
    home: homeOf(io.env),
    ...(io.context !== undefined && { context: io.context }),
  })
  const layout = homeLayout(io.env as NodeJS.ProcessEnv, context.fleet)
  const found = { context: { ...context, credentials: credentialsFile! }, own: credentials, layout }
  await minterOf(layout, found.context, credentials)
  return found
}

async function locked<T>(io: Io, { layout }: OwnFleet, note: string, act: () => Promise<T>): Promise<T> {
  const release = await takeUpLock(layout.upLock, note, LOCK_MS, (holder) =>
    io.stderr(`waiting for ${holder}`),
  )
  try {
    return await act()
  } finally {
    release()
  }
}

async function add(io: Io, name: string, { role, expires, replace, output }: AddFlags): Promise<void> {
  const again = `troupe user add ${name}${role === 'client' ? '' : ` --role ${role}`}`
  await refuseOpenOutput(io, output, again)
  const found = await ownFleet(io)
  const deliver = (text: string): Promise<void> => writeSecret(io, output, text)
  const person = { name, role, expiresMs: expires, replace: replace === true }
  const added = await locked(io, found, 'user add', () =>
    addPerson(found.layout, found.context, found.own, person, deliver, Date.now()),
  )
  if (output !== undefined)
    if (io.json) io.printJson({ ...shown(added, Date.now()), file: output })
    else io.stdout(`${output}\n`)
  sayAdded(io, added, found.context, output)
}

function sayAdded(
  io: Io,
  { name, role, expires, replaced }: AddedPerson,
  { url }: Context,
  file?: string,
): void {
  if (replaced !== null) io.stderr(`the credential that ${name} had is revoked${toldText(replaced.untold)}`)
  io.stderr(
    `${name} is ${role === 'client' ? 'a client' : 'an observer'} of the fleet; it ` +
      inText(expires, Date.now()),
  )
  const isHere = ['127.0.0.1', 'localhost', '[::1]'].includes(new URL(url.split(',')[0]!).hostname)
  if (isHere)
    io.stderr(
      'the bus is reached from this machine alone; for others, once it is down: troupe up --listen ADDR',
    )
  io.stderr(`next, where ${name} works: troupe context add ${file ?? 'FILE'}`)
}

async function list(io: Io): Promise<void> {
  const { layout } = await ownFleet(io)
  const issued = (await readIssued(layout)).filter(({ role }) => PEOPLE.some((of) => of === role))
  const now = Date.now()
  if (io.json) return io.printJson(issued.map((one) => shown(one, now)))
  if (io.quiet)
    return io.stdout(
      issued
        .filter((one) => lives(one, now))
        .map(({ name }) => `${name}\n`)
        .join(''),
    )
  io.stdout(
    table(
      ['NAME', 'ROLE', 'ISSUED', 'EXPIRES', 'KEY'],
      issued.map((one) => [
        one.name,
        one.role,
        `${durationText(now - one.issuedAt)} ago`,
        one.revokedAt === null
          ? inText(one.expires, now)
          : `revoked ${durationText(now - one.revokedAt)} ago`,
        one.key,
      ]),
    ),
  )
  if (issued.length === 0)
    io.stderr(`nobody but ${ownName()}, who owns the fleet. add somebody: troupe user add NAME -o FILE`)
}

async function revoke(io: Io, word: string): Promise<void> {
  const found = await ownFleet(io)
  const what = { word, roles: PEOPLE, called: 'user' as const, owner: ownName() }
  const revoked = await locked(io, found, 'user revoke', () => revokeIssued(found.layout, what, Date.now()))
  if (io.json) return io.printJson(revoked.map(({ untold, ...one }) => ({ ...one, told: untold === null })))
  for (const one of revoked) {
    if (io.quiet) io.stdout(`${one.key}\n`)
    sayRevoked(io, one)
  }
}

function sayRevoked(io: Io, { name, role, key, untold }: Revoked): void {
  const called = name === null ? `the key ${key}` : `the credential of ${name} (${role}, ${key})`
  io.stderr(`${called} is revoked${toldText(untold)}`)
}

function toldText(untold: Fault | null): string {
  return untold === null
    ? ': the bus lets it in no more'
    : `. The bus was not told: ${untold.message}. It reads it when it starts, or with the next: troupe up`
}

function shown(one: Issued, now: number): Issued & { state: 'live' | 'ended' | 'revoked' } {
  const { role, name, key, issuedAt, expires, revokedAt } = one
  const state = lives(one, now) ? 'live' : revokedAt === null ? 'ended' : 'revoked'
  return { name, role, state, issuedAt, expires, revokedAt, key }
}

function inText(expires: number, now: number): string {
  return expires > now ? `ends in ${durationText(expires - now)}` : `ended ${durationText(now - expires)} ago`
}
