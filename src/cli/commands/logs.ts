/** `troupe logs REF`: lines with their worker or rank in front, or (`--raw`) the bytes of one source. */
import type { LogGap, LogOptions } from '../../client/logs/items.ts'
import { Fault } from '../../protocol/faults.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { choiceOption, countOption, sinceOption } from '../frame/options.ts'
import { logJson, writeLog } from '../render/log.ts'
import { withTroupe } from '../frame/with-troupe.ts'

interface LogFlags extends Pick<
  LogOptions,
  'follow' | 'raw' | 'stream' | 'rank' | 'source' | 'since' | 'tail' | 'attempt' | 'grep'
> {
  out?: string
}

/** The bytes of a file are all of them, or it is said that they are not. */
function incomplete({ worker, source, offset, to, why }: LogGap): Fault {
  const range = to === null ? `from byte ${offset} on` : `bytes ${offset} to ${to}`
  return new Fault('GONE', `${source} of ${worker} is not whole: ${range} are missing (${why})`)
}

export const command: CliCommand = {
  name: 'logs',
  summary: 'show logs of a run, role, worker or rank',
  register(program, io) {
    verb(program, 'logs <ref>', this.summary)
      .option('-f, --follow', 'go on until the log is complete; waits for a run that has not started')
      .option('--raw', 'the bytes of the file as they are; one source')
      .option('--stream <name>', 'stdout or stderr', choiceOption(['stdout', 'stderr']))
      .option('--rank <n>', 'one rank of a torchrun role', countOption)
      .option('--source <name>', 'one source by name, such as r3-stderr')
      .option('--since <time>', 'from about this long ago (10m), or this date, on', (text) =>
        sinceOption(text),
      )
      .option('-n, --tail <n>', 'the last lines of each source', countOption)
      .option('--attempt <n>', 'of this attempt; default: the latest', countOption)
      .option('--grep <re>', 'lines with a match (RE2 syntax)')
      .option('--out <dir>', 'keep a copy of each source there, and show nothing')
      .action((text: string, { out, ...flags }: LogFlags) =>
        withTroupe(io, async (troupe) => {
          const options: LogOptions = { ...flags, signal: io.closed, onTrouble: (why) => io.status(why) }
          if (out !== undefined) {
            const { copyLogs, prepareCopies, sayCopied } = await import('../render/log-copy.ts')
            await prepareCopies(io.cwd, out)
            return sayCopied(io, await copyLogs(troupe.logs(text, { ...options, chunks: true }), io.cwd, out))
          }
          let missing: LogGap | null = null
          for await (const item of troupe.logs(text, options)) {
            if (item.kind === 'gap') missing ??= item
            if (io.json) io.stdout(logJson(item))
            else writeLog(io, item, { prefix: true })
            await io.drained()
          }
          io.status(null)
          if (flags.raw === true && missing !== null) throw incomplete(missing)
        }),
      )
  },
}
