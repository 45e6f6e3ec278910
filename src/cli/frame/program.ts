/**
 * All commands on one root: for completion and for the reference, which need to know every flag. The ordinary
 * way loads one.
 */
import type { Command } from 'commander'
import { COMMANDS } from './commands.ts'
import type { Io } from './io.ts'
import { rootCommand } from './root.ts'

export async function wholeProgram(io: Io): Promise<Command> {
  const program = rootCommand(io)
  for (const [name, entry] of Object.entries(COMMANDS))
    if (!name.startsWith('_')) (await entry.load()).command.register(program, io, COMMANDS)
  return program
}
