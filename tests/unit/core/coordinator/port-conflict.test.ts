import { blankReport } from '../../../../src/protocol/blank-report.ts'
import { expect, test } from 'vitest'
import { isPortConflict } from '../../../../src/core/coordinator/port-conflict.ts'
import type { ForkReport } from '../../../../src/protocol/shapes.ts'
import { exitOf } from '../../../support/coordinator/reports.ts'

const WITHIN_MS = 10_000
const inUse = ['OSError: [Errno 98] Address already in use']
const early = { startedAt: 1000, exitedAt: 1000 + WITHIN_MS }

test.each<[string, Partial<ForkReport>, boolean]>([
  ['Python says so', { stderrTail: inUse }, true],
  ['Node says so', { stderrTail: ['Error: listen EADDRINUSE: 0.0.0.0:80'] }, true],
  ['Go says so', { stderrTail: ['listen tcp :80: bind: address already in use'] }, true],
  ['Java says so', { stderrTail: ['java.net.BindException: Address in use'] }, true],
  ['a line before the last says so', { stderrTail: [...inUse, 'bye'] }, true],
  ['torch’s error file says so', { errorFile: '{"message":"port 29500 is already in use"}' }, true],
  ['it ended just in time', { stderrTail: inUse, ...early }, true],
  ['it lived longer: it had its port', { stderrTail: inUse, ...early, exitedAt: early.exitedAt + 1 }, false],
  ['nothing says so', { stderrTail: ['bye'] }, false],
  ['it exited 0', { stderrTail: inUse, exit: exitOf({ code: 0 }) }, false],
  ['it runs', { stderrTail: inUse, exit: null }, false],
  ['we ended it', { stderrTail: inUse, exit: exitOf({ code: 1, killedBy: { by: 'done' } }) }, false],
  ['it leased no port', { stderrTail: inUse, ports: [] }, false],
  ['its one port is the rendezvous', { stderrTail: inUse, ports: [], rendezvousPort: 29_500 }, true],
])('%s', (_, fields, expected) => {
  const report = { ...blankReport('r.a.0.1', 'prepared'), ports: [80], exit: exitOf({ code: 1 }), ...fields }
  expect(isPortConflict(report, WITHIN_MS)).toBe(expected)
})
