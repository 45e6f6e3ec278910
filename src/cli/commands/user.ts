/** `troupe user add | list | revoke`: credentials of people, for the fleet whose keys are in this home. */
import { ownName } from '../../fleet/home.ts'
import { lives, readIssued, type Issued } from '../../fleet/issued.ts'
import { findOwnFleet, withFleetLock } from '../../fleet/own-fleet.ts'
import { addPerson, PEOPLE, type AddedPerson, type PersonRole } from '../../fleet/people.ts'
import { revokeIssued } from '../../fleet/revoke.ts'
import { isLoopbackUrl } from '../../protocol/addresses.ts'
import { DAY_MS } from '../../system/clock.ts'
import type { Context } from '../../system/contexts.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { choiceOption, durationOption } from '../frame/options.ts'
import { refuseOpenOutput, writeSecret } from '../frame/secret-output.ts'
import { showRevoked, toldText } from '../render/revoked.ts'
import { table } from '../render/table.ts'
import { durationText } from '../render/text.ts'

const DEFAULT_MS = 90 * DAY_MS

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

async function add(io: Io, name: string, { role, expires, replace, output }: AddFlags): Promise<void> {
  const again = `troupe user add ${name}${role === 'client' ? '' : ` --role ${role}`}`
  await refuseOpenOutput(io, output, again)
  const found = await findOwnFleet(io.env, io.context)
  const deliver = (text: string): Promise<void> => writeSecret(io, output, text)
  const person = { name, role, expiresMs: expires, replace: replace === true }
  const added = await withFleetLock(
    found,
    'user add',
    (line) => io.stderr(line),
    () => addPerson(found.layout, found.context, found.own, person, deliver, Date.now()),
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
  if (isLoopbackUrl(url))
    io.stderr(
      'the bus is reached from this machine alone; for others, once it is down: troupe up --listen ADDR',
    )
  io.stderr(`next, where ${name} works: troupe context add ${file ?? 'FILE'}`)
}

async function list(io: Io): Promise<void> {
  const { layout } = await findOwnFleet(io.env, io.context)
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
  const found = await findOwnFleet(io.env, io.context)
  const what = { word, roles: PEOPLE, called: 'user' as const, owner: ownName() }
  const revoked = await withFleetLock(
    found,
    'user revoke',
    (line) => io.stderr(line),
    () => revokeIssued(found.layout, what, Date.now()),
  )
  showRevoked(io, revoked)
}

function shown(one: Issued, now: number): Issued & { state: 'live' | 'ended' | 'revoked' } {
  const { role, name, key, issuedAt, expires, revokedAt } = one
  const state = lives(one, now) ? 'live' : revokedAt === null ? 'ended' : 'revoked'
  return { name, role, state, issuedAt, expires, revokedAt, key }
}

function inText(expires: number, now: number): string {
  return expires > now ? `ends in ${durationText(expires - now)}` : `ended ${durationText(now - expires)} ago`
}
