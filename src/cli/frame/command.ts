/**
 * The frame for one file per command: `src/cli/commands/VERB.ts` exports `command`, and frame/commands.ts
 * names it, so that only the verb that was typed is loaded. Owns the interface and the flags that every
 * command has; output is io.ts.
 *
 * An action returns when the command is done and throws a Fault when it failed: main.ts renders it (message,
 * hint, no stack) and picks the exit code. Anything else that ends with a code of its own (`run`, `wait`)
 * calls `io.setExit`. `io.json` and `io.quiet` hold `--json` and `-q` before the action is called.
 */
import type { Command } from 'commander'
import type { Io } from './io.ts'
import { durationOption } from './options.ts'

export interface CliCommand {
  name: string
  /** one line for `troupe --help` */
  summary: string
  /**
   * `program` is the root; make the command with `verb(program, …)`. `all` is every command: only
   * completion needs it, and it cannot import the list that loads it
   */
  register(program: Command, io: Io, all: Commands): void
}

/** Every command by name, with how to load it. */
export type Commands = Readonly<Record<string, { summary: string; load(): Promise<{ command: CliCommand }> }>>

/**
 * Make a command with the flags that all have.
 *
 * @param usage  name and arguments, as commander writes them: `logs <ref>`
 */
export function verb(program: Command, usage: string, summary: string): Command {
  const made = program
    .command(usage)
    .summary(summary)
    .description(summary)
    .option('--json', 'print JSON on stdout')
    .option('-q, --quiet', 'print ids only, no talk')
    .option('--context <name>', 'use this context instead of the current one')
  return /[<[](ref|run)\b/.test(usage)
    ? asking(made).option('--user [name]', 'names and last mean the runs of this user, or of all')
    : made
}

/** With the flag of a command that asks a fleet. One with a ref has it already. */
export function asking(made: Command): Command {
  return made.option(
    '--connect-timeout <time>',
    'go on trying for so long to reach the bus, and end with code 4 then (default: one try)',
    durationOption,
  )
}
