/** docs/security.md names real tests, and has every attack that tests/kinds.md lists. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { root } from '../../support/fleet.ts'

const page = readFileSync(join(root, 'docs/security.md'), 'utf8')
const kinds = readFileSync(join(root, 'tests/kinds.md'), 'utf8')

/** The first cells of the tables below a heading, without their heads. */
function rowsBelow(text: string, heading: string): string[] {
  const [, part = ''] = text.split(`\n## ${heading}\n`)
  const lines = part.split('\n## ')[0]!.split('\n')
  const cells = lines.filter((line) => line.startsWith('| ')).map((line) => line.split(' | ')[0]!.slice(2))
  return cells.filter((cell) => cell !== '---').slice(1)
}

test('each test that the page names is there', () => {
  const named = [...page.matchAll(/`((?:unit|contracts|integration|e2e)\/[^`]+)`/g)].map(([, file]) => file!)
  expect(named.length).toBeGreaterThan(30)
  expect(named.filter((file) => !existsSync(join(root, 'tests', file)))).toEqual([])
})

test('each attack that is tried has its row on the page', () => {
  const threats = rowsBelow(page, 'Threats, and the test that tries each')
  const attacks = rowsBelow(kinds, 'Attacks').map((attack) => attack.replace(/^declined: /, ''))
  expect(attacks.length).toBeGreaterThan(15)
  const lacking = attacks.filter((attack) => !threats.some((threat) => attack.startsWith(threat)))
  expect(lacking).toEqual([])
})
