import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isFault } from '../../../src/protocol/faults.ts'
import { parseSubject, subjectOf, wildcardOf } from '../../../src/protocol/subjects.ts'
import { TABLE, type ParamsOf, type Row, type RowName } from '../../../src/protocol/table.ts'

const rows = Object.entries(TABLE) as [RowName, Row][]
function places(name: RowName): string[] {
  return [...TABLE[name].subject.matchAll(/\{(\w+)\}/g)].map((match) => match[1]!)
}
const token = fc.stringMatching(/^[A-Za-z0-9_][A-Za-z0-9_-]{0,39}$/)

describe.each(rows)('%s', (name) => {
  test('what is built is read back, and matches its wildcard', () => {
    fc.assert(
      fc.property(fc.array(token, { minLength: 7, maxLength: 7 }), (tokens) => {
        const params = Object.fromEntries(places(name).map((place, i) => [place, tokens[i]!]))
        const subject = subjectOf('main', name, params as ParamsOf<RowName>)
        expect(parseSubject('main', name, subject)).toEqual(params)
        expect(parseSubject('other', name, subject)).toBeNull()
        expect(parseSubject('main', name, `${subject}.more`)).toBeNull()
        const wildcard = wildcardOf('main', name).split('.')
        expect(subject.split('.').every((part, i) => wildcard[i] === '*' || wildcard[i] === part)).toBe(true)
        expect(wildcard.length).toBe(subject.split('.').length)
      }),
      { numRuns: 20 },
    )
  })
})

test('a parameter that would change the address is refused', () => {
  for (const user of ['a.b', '*', '>', '', 'a b', 'a\r\nPUB x', '-a', 'x'.repeat(81), 'ü'])
    expect(() => subjectOf('main', 'coordinator.launch', { user })).toThrow(
      expect.objectContaining({ code: 'REQUEST_INVALID' }) as Error,
    )
})

test('any text is read as a subject or not, and never crashes', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc
          .array(fc.constantFrom('troupe', 'v1', 'main', 'event', '_', 'n0', '*', '>', ''))
          .map((parts) => parts.join('.')),
      ),
      fc.constantFrom(...rows.map(([name]) => name)),
      (subject, name) => {
        try {
          parseSubject('main', name, subject)
        } catch (error) {
          expect(isFault(error)).toBe(true)
        }
      },
    ),
  )
})

test('no two messages share a shape, but for events, which differ by what stands in empty places', () => {
  const overlapping = rows.flatMap(([a, { subject: left }], i) =>
    rows
      .slice(i + 1)
      .filter(([, { subject: right }]) => overlap(left.split('.'), right.split('.')))
      .map(([b]) => `${a} ${b}`),
  )
  expect(overlapping.filter((pair) => !/^event\.\w+ event\.\w+$/.test(pair))).toEqual([])
})

function overlap(left: string[], right: string[]): boolean {
  return (
    left.length === right.length &&
    left.every((part, i) => part === right[i] || part.startsWith('{') || right[i]!.startsWith('{'))
  )
}
