/**
 * `troupe __complete WORD…`: what could stand in the place of the last word, one per line; asked by the
 * shells' scripts. Verbs and flags come from the commands themselves, names of runs, nodes and contexts from
 * where they live. Never fails and never says anything else: a shell is waiting.
 */
import { networkInterfaces } from 'node:os'
import type { Command } from 'commander'
import { isLinkLocal } from '../../protocol/addresses.ts'
import { SIGNAL_WORDS } from '../../protocol/signals.ts'
import { currentContext, listContexts } from '../../system/contexts.ts'
import { homeOf } from '../../system/paths.ts'
import type { CliCommand, Commands } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { rootCommand } from '../frame/root.ts'

export const command: CliCommand = {
  name: '__complete',
  summary: 'complete a command line',
  register(program, io, all) {
    program
      .command('__complete [words...]', { hidden: true })
      .allowUnknownOption()
      .passThroughOptions()
      .action(async (words: string[]) => {
        const found = await completions(io, all, words).catch(() => [])
        const last = words.at(-1) ?? ''
        for (const candidate of found.filter((text) => text.startsWith(last))) io.stdout(`${candidate}\n`)
      })
  },
}

/** Flags whose value is one of a few words. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  '--for': ['running', 'ready', 'done'],
  '--stream': ['stdout', 'stderr'],
  '--backend': ['join', 'local'],
  '--role': ['client', 'observer'],
}

/** Of this machine; link-local ones mean nothing to others. */
function listenAddresses(): string[] {
  const own = Object.values(networkInterfaces()).flatMap((entries) => entries ?? [])
  const usable = own.map(({ address }) => address).filter((address) => !isLinkLocal(address))
  return ['0.0.0.0', ...usable.map((address) => (address.includes(':') ? `[${address}]` : address))]
}

async function completions(io: Io, all: Commands, words: readonly string[]): Promise<string[]> {
  const before = words.slice(0, -1)
  const last = words.at(-1) ?? ''
  const [name, ...rest] = before
  if (name === undefined)
    return [...Object.keys(all).filter((verb) => !verb.startsWith('_')), '--help', '--version']
  if (!Object.hasOwn(all, name)) return []
  const root = rootCommand(io)
  ;(await all[name]!.load()).command.register(root, io, all)
  let at: Command = root.commands.find((sub) => sub.name() === name)!
  const words0 = rest.filter((word) => !word.startsWith('-'))
  const sub = at.commands.find((child) => child.name() === words0[0])
  if (sub !== undefined) at = sub
  const previous = before.at(-1)!
  if (VALUES[previous] !== undefined) return [...VALUES[previous]]
  if (previous === '--listen') return listenAddresses()
  if (previous === '--context') return (await listContexts(homeOf(io.env))).map((context) => context.name)
  if (last.startsWith('-'))
    return at.options
      .filter((option) => !option.hidden)
      .flatMap((option) => option.long ?? option.short ?? [])
      .concat('--help')
  const placed = sub === undefined ? words0 : words0.slice(1)
  const argument = at.registeredArguments[Math.min(placed.length, at.registeredArguments.length - 1)]
  const subs = sub === undefined && placed.length === 0 ? at.commands.map((child) => child.name()) : []
  switch (argument?.name()) {
    case 'run':
    case 'ref':
      return [...subs, ...(await refs(io, last))]
    case 'signal':
      return [...SIGNAL_WORDS]
    case 'node':
      return asked(io, async (troupe) => (await troupe.nodes()).map(({ node }) => node))
    case 'name':
      return (await listContexts(homeOf(io.env))).map((context) => context.name)
    case 'shell':
      return ['bash', 'zsh', 'fish']
    default:
      return subs
  }
}

/** Runs, and below `RUN/` its roles and workers. */
function refs(io: Io, last: string): Promise<string[]> {
  return asked(io, async (troupe) => {
    const [run, below] = last.split('/')
    if (below === undefined) return ['last', 'all', ...(await troupe.list({ all: true })).map((r) => r.run)]
    const { roles, workers } = await troupe.status(run!)
    return [
      ...roles.map((role) => `${run}/${role.role}`),
      ...workers.map((worker) => `${run}/${worker.role}/${worker.index}`),
    ]
  })
}

async function asked(
  io: Io,
  act: (troupe: Awaited<ReturnType<Io['connect']>>) => Promise<string[]>,
): Promise<string[]> {
  const home = homeOf(io.env)
  if ((await currentContext(home)) === null) return []
  const troupe = await io.connect({ home })
  try {
    return await act(troupe)
  } finally {
    await troupe.close()
  }
}
