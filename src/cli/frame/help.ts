/** `troupe --help`: every command with its line, and how a run is written. */
import { COMMANDS } from './commands.ts'

export function rootHelp(): string {
  const shown = Object.entries(COMMANDS).filter(([name]) => !name.startsWith('_'))
  const width = Math.max(...shown.map(([name]) => name.length))
  return `Usage: troupe COMMAND [options]

Launch, watch and truthfully stop the process trees of distributed work.

Commands:
${shown.map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}

A run, role, worker or rank is written RUN, RUN/role, RUN/role/3, RUN/role/1-3,5 or RUN/role:11; RUN is a name, an id or a unique prefix of one, last or all.
stdout is data, stderr is talk; every command takes --json and -q. \`troupe COMMAND --help\` says more.
`
}
