import { expect, test } from 'vitest'
import { exitedCleanly, exitText } from '../../../../src/core/coordinator/exit-code.ts'
import type { Exit } from '../../../../src/protocol/shapes.ts'
import { exitOf } from '../../../support/coordinator/reports.ts'

test.each<[string, Partial<Exit>, string, boolean]>([
  ['a code of 0', { code: 0 }, 'exited 0', true],
  ['another code', { code: 7 }, 'exited 7', false],
  ['a signal', { signal: 'SIGSEGV' }, 'was killed by SIGSEGV', false],
  ['a kill by the kernel', { signal: 'SIGKILL', oom: true }, 'was killed by SIGKILL (out of memory)', false],
  ['a kill that may be the kernel’s', { signal: 'SIGKILL', oom: null }, 'was killed by SIGKILL', false],
  ['nothing known, with the reason', { unknown: 'no shim' }, 'ended, and how is not known (no shim)', false],
  ['nothing known at all', {}, 'ended, and how is not known (no record)', false],
  ['a step of the set-up', { code: 2, inSetUp: 'ls /x' }, "exited 2 in its set-up, at 'ls /x'", false],
  ['a set-up without a step', { code: 2, inSetUp: '' }, 'exited 2 in its set-up', false],
])('%s: its words, and whether it is clean', (_, exit, text, clean) => {
  expect([exitText(exitOf(exit)), exitedCleanly(exitOf(exit))]).toEqual([text, clean])
})
