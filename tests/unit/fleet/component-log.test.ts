import { closeSync, openSync } from 'node:fs'
import { expect, test } from 'vitest'
import { componentLog } from '../../../src/fleet/component-log.ts'

const [DEBUG, INFO, WARN, ERROR] = [20, 30, 40, 50]

function logged(...lines: Record<string, unknown>[]): Record<string, unknown>[] {
  const out: string[] = []
  const log = componentLog({ component: 'agent', node: 'n0' }, { write: (line) => void out.push(line) })
  for (const fields of lines) log(fields)
  return out.map((line) => JSON.parse(line) as Record<string, unknown>)
}

test('each level is a level of the line: a warning is not told as information', () => {
  const levels = ['debug', 'info', 'warn', 'error'].map((level) => ({ level, msg: 'x' }))
  expect(logged(...levels).map((line) => line['level'])).toEqual([DEBUG, INFO, WARN, ERROR])
})

test('no level, or one that nobody knows, is information; fields, base and time stand in the line', () => {
  expect(logged({ msg: 'started', pid: 7 }, { level: 'silent', msg: 'y' })).toEqual([
    { level: INFO, time: expect.any(String), component: 'agent', node: 'n0', pid: 7, msg: 'started' },
    { level: INFO, time: expect.any(String), component: 'agent', node: 'n0', msg: 'y' },
  ])
})

test('a line that a full disk does not take ends nobody, and nor do those after it', () => {
  const full = openSync('/dev/full', 'w')
  const log = componentLog({ component: 'agent' }, full)
  for (let i = 0; i < 100; i++) expect(() => log({ msg: 'x'.repeat(30_000) })).not.toThrow()
  closeSync(full)
})
