import { expect, test } from 'vitest'
import { writeLog } from '../../../../src/cli/render/log.ts'
import type { LogLine } from '../../../../src/client/logs/items.ts'
import { captureIo } from '../../../support/cli.ts'

const ESC = '\u001b'
const EVIL = `${ESC}]0;PWNED\u0007step${ESC}[31mred`
const SHOWN = `\\x1b]0;PWNED\\x07step${ESC}[31mred${ESC}[0m`

function line(stream: 'stdout' | 'stderr', text: string): LogLine {
  const origin = { forkId: 'f', worker: 'r/main/0', role: 'main', index: 0, attempt: 1, rank: null }
  return {
    ...{ ...origin, source: stream, stream, offset: 0, prefix: '[main/0]' },
    ...{ kind: 'line', text, bytes: Buffer.from(text) },
  }
}

test.each([true, false])(
  'a line of a worker does nothing to a terminal but colour it, prefix %s; a pipe gets its bytes',
  (prefix) => {
    const head = prefix ? '[main/0] ' : ''
    for (const stream of ['stdout', 'stderr'] as const) {
      const terminal = captureIo({ tty: true, env: { NO_COLOR: '1' } })
      writeLog(terminal.io, line(stream, EVIL), { prefix })
      writeLog(terminal.io, line(stream, `step 1\rstep 2\u0007${ESC}[2J`), { prefix })
      expect(terminal[stream]()).toContain(SHOWN)
      expect(terminal[stream]()).toContain(`${head}step 2\\x07\\x1b[2J\n`)
      const piped = captureIo()
      writeLog(piped.io, line(stream, EVIL), { prefix })
      expect(piped[stream]()).toBe(`${head}${EVIL}\n`)
    }
  },
)
