/** `troupe keys show | rotate`: the keys of the fleet in this home. */
import { rotateAuthority, rotateOperator, rotateSigning } from '../../fleet/rotate.ts'
import { endingSoon, listKeys } from '../../fleet/key-list.ts'
import { warningOf } from '../../fleet/key-warnings.ts'
import { findOwnFleet, withFleetLock, type OwnFleet } from '../../fleet/own-fleet.ts'
import { Fault } from '../../protocol/faults.ts'
import { whenText } from '../../protocol/when-text.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { toldText } from '../render/revoked.ts'
import { table } from '../render/table.ts'
import { durationText } from '../render/text.ts'

interface RotateFlags {
  yes?: boolean
  now?: boolean
}

/** Which keys can be exchanged, and with which words. */
const WHICH: Readonly<Record<string, { says(atOnce: boolean): string; act: Rotation } | { never: string }>> =
  {
    signing: {
      says: (atOnce) =>
        'new keys that mint credentials; those of this home are minted anew. ' +
        (atOnce
          ? 'All that were handed out end at once, and are to be handed out again'
          : 'Those that were handed out stay good until they end'),
      act: signing,
    },
    operator: {
      says: () => 'a new operator; the bus is started again, runs go on, and every credential stays good',
      act: operator,
    },
    ca: {
      says: (atOnce) =>
        'a new authority of the bus’s certificate; credentials of this home, and those handed out from now on, ' +
        (atOnce
          ? 'trust it, and it signs at once: those handed out before, exports and tenants’ files are of no use'
          : 'trust both. It signs when the last credential handed out before has ended, by the next `troupe up` ' +
            'then; exports of your own context are to be made again by then'),
      act: authority,
    },
    accounts: {
      never:
        'the streams of the fleet are kept under its account’s key, and every credential names it: with another ' +
        'key it would be another fleet',
    },
  }

type Rotation = (io: Io, found: OwnFleet, atOnce: boolean) => Promise<object>

export const command: CliCommand = {
  name: 'keys',
  summary: 'keys and credentials of the fleet: what there is, until when; exchange them',
  register(program, io) {
    const keys = program.command('keys').summary(this.summary).description(this.summary)
    verb(keys, 'show', 'list them by their public halves').action(() => show(io))
    verb(keys, 'rotate <which>', 'make new ones: signing, operator, ca; no run is harmed')
      .option('--now', 'signing, ca: what the old ones signed ends at once (they were stolen)')
      .option('--yes', 'do it; without this it is only said')
      .action((which: string, flags: RotateFlags) => rotate(io, which, flags))
  },
}

async function show(io: Io): Promise<void> {
  const { layout } = await findOwnFleet(io.env, io.context)
  const now = Date.now()
  const entries = await listKeys(layout, now)
  const soon = endingSoon(entries, now)
  if (io.json) return io.printJson(entries.map((entry) => ({ ...entry, soon: soon.includes(entry) })))
  if (io.quiet) return io.stdout(entries.map(({ key }) => `${key}\n`).join(''))
  io.stdout(
    table(
      ['KIND', 'NAME', 'MADE', 'ENDS', 'KEY'],
      entries.map(({ kind, name, made, ends, key }) => [
        kind,
        name,
        agoText(made, now),
        endText(ends, now),
        key,
      ]),
    ),
  )
  const former = entries.find(({ kind }) => kind === 'former authority')
  if (former !== undefined) io.stderr(waitingText(former.ends))
  for (const entry of soon) io.stderr(warningOf(entry, now))
}

function agoText(made: number | null, now: number): string | null {
  return made === null || made === 0 ? null : `${durationText(Math.max(0, now - made))} ago`
}

function endText(ends: number | null, now: number): string {
  if (ends === null) return 'never'
  return ends > now ? `in ${durationText(ends - now)}` : `${durationText(now - ends)} ago`
}

async function rotate(io: Io, which: string, { yes = false, now = false }: RotateFlags): Promise<void> {
  const known = Object.hasOwn(WHICH, which) ? WHICH[which]! : null
  if (known === null)
    throw new Fault('USAGE', `there are no keys '${which}' to exchange`, {
      hint: `there are: ${Object.keys(WHICH).join(', ')}`,
    })
  if ('never' in known)
    throw new Fault('USAGE', `the keys of accounts are not exchanged: ${known.never}`, {
      hint: 'what mints credentials is exchanged by: troupe keys rotate signing --yes',
    })
  if (now && which === 'operator') throw new Fault('USAGE', '--now goes with signing and ca')
  if (!yes)
    throw new Fault('USAGE', `nothing was done. This makes ${known.says(now)}`, {
      hint: `do it: troupe keys rotate ${which}${now ? ' --now' : ''} --yes`,
    })
  const found = await findOwnFleet(io.env, io.context)
  const done = await withFleetLock(
    found,
    'keys rotate',
    (line) => io.stderr(line),
    () => known.act(io, found, now),
  )
  if (io.json) io.printJson({ rotated: which, ...done })
}

async function signing(io: Io, { layout }: OwnFleet, atOnce: boolean): Promise<object> {
  const { formerUntil, ended, untold } = await rotateSigning(layout, { atOnce }, Date.now())
  io.stderr(
    formerUntil === null
      ? `what the old keys signed ended${toldText(untold)}. next, if a part is cut off for long: troupe up`
      : `new credentials are signed by new keys; what the old ones signed is good until ${whenText(formerUntil)}` +
          ' at the latest',
  )
  if (ended.length > 0) io.stderr(`ended: ${ended.join(', ')}. next, for each: troupe user add NAME -o FILE`)
  return { formerUntil, ended, told: untold === null }
}

async function operator(io: Io, { layout }: OwnFleet): Promise<object> {
  const { restarted } = await rotateOperator(layout, io.env)
  io.stderr(
    restarted
      ? 'the bus was started again with a new operator; runs went on'
      : 'the bus is down; it has a new operator when it starts. next: troupe up',
  )
  return { restarted }
}

function waitingText(due: number | null): string {
  return due === null
    ? 'both authorities are trusted, the former one signs: tenants have files with it alone, which never end. ' +
        'next, when they have new ones: troupe keys rotate ca --now --yes'
    : `both authorities are trusted, the former one signs until ${whenText(due)}. next, after that: troupe up`
}

async function authority(io: Io, { layout }: OwnFleet, atOnce: boolean): Promise<object> {
  const { done, due, waitsFor } = await rotateAuthority(layout, io.env, { atOnce }, Date.now())
  if (!done) {
    io.stderr(waitingText(due))
    return { phase: 1, due, waitsFor }
  }
  io.stderr('the new authority has signed the bus’s certificate, and it alone is trusted')
  if (waitsFor.length > 0)
    io.stderr(
      `cut off: ${waitsFor.join(', ')}. next, for each: a new file (user add --replace, nodes invite)`,
    )
  return { phase: 2, due: null, cutOff: waitsFor }
}
