/**
 * Every command by name, with how to load it: only the one that was typed is imported, so that `troupe ps` starts as fast as it can.
 * Owns the list; help, completion and the reference are made from it.
 */
import type { CliCommand } from './command.ts'

export interface CommandEntry {
  summary: string
  load(): Promise<{ command: CliCommand }>
}

export const COMMANDS: Readonly<Record<string, CommandEntry>> = {}
