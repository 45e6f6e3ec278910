import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { canonicalJson, runIdOf, specHash } from '../../../../src/protocol/launch/hash.ts'
import { parseLaunchText } from '../../../../src/protocol/launch/document.ts'
import { isName } from '../../../../src/protocol/names.ts'

test('order of keys and comments do not count; values do', () => {
  const a = parseLaunchText('# one\nname: x\nroles: { a: { command: [x] } }\n').document
  const b = parseLaunchText('roles:\n  a:\n    command:\n      - x # two\nname: "x"\n').document
  expect(specHash(a)).toBe(specHash(b))
  expect(specHash(a)).not.toBe(specHash({ ...a, name: 'y' }))
  expect(specHash(a)).toMatch(/^[0-9a-f]{64}$/)
})

test('canonical JSON is JSON of the same value, whatever the order', () => {
  fc.assert(
    fc.property(fc.jsonValue(), (value) => {
      const copy = JSON.parse(JSON.stringify(value)) as unknown
      expect(JSON.parse(canonicalJson(copy))).toEqual(copy)
      const reversed =
        typeof copy === 'object' && copy !== null && !Array.isArray(copy)
          ? Object.fromEntries(Object.entries(copy).toReversed())
          : copy
      expect(canonicalJson(reversed)).toBe(canonicalJson(copy))
    }),
  )
})

test('a run id is the name and twelve digits of the key, and a name itself', () => {
  expect(runIdOf('ppo-dev', 'k')).toMatch(/^ppo-dev-[0-9a-f]{12}$/)
  expect(runIdOf('ppo-dev', 'k')).toBe(runIdOf('ppo-dev', 'k'))
  expect(runIdOf('ppo-dev', 'k')).not.toBe(runIdOf('ppo-dev', 'l'))
  expect(isName(runIdOf('x'.repeat(27), 'k'))).toBe(true)
})
