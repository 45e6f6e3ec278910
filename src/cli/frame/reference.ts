/**
 * The reference page of the command line, made from the commands themselves; scripts/gen.mjs writes it and a
 * test compares it.
 */
import type { Command } from 'commander'
import { CATALOGUE } from '../../protocol/faults.ts'
import { COMMANDS } from './commands.ts'
import { ioOn } from './io.ts'
import { wholeProgram } from './program.ts'

function cell(text: string): string {
  return text.replaceAll('|', '\\|')
}

/** @returns the page, complete */
export async function cliReference(): Promise<{ path: string; text: string }> {
  const { PassThrough } = await import('node:stream')
  const io = ioOn({
    stdout: new PassThrough(),
    stderr: new PassThrough(),
    stdin: new PassThrough(),
    hasUnreadStdin: async () => false,
    env: {},
    cwd: '/',
    leave: () => {},
    connect: () => Promise.reject(new Error('the reference asks nobody')),
  })
  const program = await wholeProgram(io)
  const verbs = program.commands
  const text = `# Command line

Generated from the commands (\`npm run gen\`); do not edit.

stdout is data, stderr is talk; on failure stdout is empty. Every command takes \`--json\`, \`-q\` (ids only)
and \`--context NAME\`. With \`--json\` a failure is one JSON line on stderr: \`{ code, message, data,
retryable, hint }\`. When the reader of stdout goes away (\`troupe logs … | head\`) a command ends quietly
with 0; \`run\` goes on to its end. What workers wrote does nothing to a
terminal, live or later: colour stays and ends with its line, a carriage return reads as what it leaves
on the line, every other control character is shown as an escape. A pipe or a file gets the bytes as they
are, and so does \`logs --raw\` everywhere.

A run, role, worker or rank is written \`RUN\`, \`RUN/role\`, \`RUN/role/3\`, \`RUN/role/1-3,5\` or
\`RUN/role:11\`. RUN is an id, a unique prefix of one, a name, \`last\` (your newest) or \`all\` (yours that
have not ended). A name means its live run, else its newest, and wins over a prefix; the command says which it
took. \`stop\`, \`kill\` and \`signal\` take a prefix only when it reaches into the 12 hex digits of the id.
Names mean your own runs first; \`--user\` looks at everybody's, \`--user NAME\` at those of one. Ending and
signalling runs of others is for the owner of the fleet. Times are \`250ms\`, \`90s\`, \`1h30m\`, \`4:00:00\` or \`2d\`. Words:
[the glossary](../glossary.md).

${verbs.map(entry).join('\n')}

${verbs.map((command) => section(command, '##', 'troupe')).join('\n')}
## Exit codes

\`run\` and \`wait\` pass on the code of the child (128 + number for a signal); ours are 124 (timeout), 125
(Troupe failed), 126 (not executable), 127 (not found), 130 (stopped by a person). Every other command: 0; 1
the operation failed; 2 wrong usage or invalid document; 3 not found; 4 not reachable; 5 refused by
permission.

| code of the fault | exit | meaning |
| --- | --- | --- |
${Object.entries(CATALOGUE)
  .map(([code, { exit, doc }]) => `| ${code} | ${exit} | ${cell(doc)} |`)
  .join('\n')}
`
  return { path: 'docs/reference/cli.md', text }
}

function defaultText(value: unknown): string {
  return value === undefined ? '' : ` (default: ${String(value)})`
}

function entry(command: Command): string {
  const name = command.name()
  return `- [\`troupe ${name}\`](#troupe-${name}): ${COMMANDS[name]?.summary ?? command.summary()}`
}

function section(command: Command, heading: string, parent: string): string {
  const name = `${parent} ${command.name()}`
  const options = command.options.filter(
    (option) => !option.hidden && !['--json', '--quiet', '--context'].includes(option.long ?? ''),
  )
  const rows = options.map(
    (option) =>
      `| \`${cell(option.flags)}\` | ${cell(option.description)}${defaultText(option.defaultValue)} |`,
  )
  return `${heading} ${name}

${command.description()}.

\`\`\`text
${parent} ${command.name()} ${command.usage()}
\`\`\`
${rows.length === 0 ? '' : `\n| flag | meaning |\n| --- | --- |\n${rows.join('\n')}\n`}
${command.commands.map((sub) => section(sub, `${heading}#`, name)).join('\n')}`.replace(/\n+$/, '\n')
}
