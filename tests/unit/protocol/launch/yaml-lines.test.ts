import { expect, test } from 'vitest'
import { Fault } from '../../../../src/protocol/faults.ts'
import { parseLaunchText } from '../../../../src/protocol/launch/yaml-lines.ts'

function refusal(text: string): Fault {
  try {
    parseLaunchText(text, 'f.yaml')
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
  throw new Error('nothing was refused')
}

test('YAML and JSON of the same document are the same', () => {
  const yaml = parseLaunchText('# c\nb: [1, two]\na:\n  c: null\n')
  const json = parseLaunchText('{\n\t"a": { "c": null },\n\t"b": [\n\t\t1, "two"\n\t]\n}')
  expect(yaml.document).toEqual({ b: [1, 'two'], a: { c: null } })
  expect(json.document).toEqual(yaml.document)
})

test('a path has the line and column of its key or entry; a path that is not there has none', () => {
  const { source } = parseLaunchText('a: &x\n  b:\n    - one\n    - two\nc: *x\n', 'f.yaml')
  expect(source.file).toBe('f.yaml')
  expect(source.at(['a', 'b'])).toEqual({ line: 2, column: 3 })
  expect(source.at(['a', 'b', 1])).toEqual({ line: 4, column: 7 })
  expect(source.at(['c', 'b', 0])).toEqual({ line: 3, column: 7 })
  expect(source.at(['a', 'z'])).toBeNull()
  expect(source.at(['a', 'b', 7])).toBeNull()
})

test('a key given twice is an error that names its line', () => {
  expect(refusal('a: 1\nb: 2\na: 3\n').message).toBe("the key 'a' is given twice at a (line 3)")
  expect(refusal('{"a": {"b": 1,\n"b": 2}}').message).toBe("the key 'b' is given twice at a.b (line 2)")
})

test('what is no launch document is refused with its line', () => {
  expect(refusal('').message).toBe('the document is empty')
  expect(refusal('# nothing\n').message).toBe('the document is empty')
  expect(refusal('[1]').message).toContain('a launch document is a mapping')
  expect(refusal('a: 1\nb: [1, 2\nc: 3\n').message).toMatch(/^not YAML: .*\(line \d\)/)
  expect(refusal('a: 1\n---\nb: 2\n').message).toContain('two documents in one text')
  expect(refusal('a: !evil x\n').message).toContain('not YAML: Unresolved tag')
  expect(refusal('a: *nowhere\n').message).toContain('nowhere')
  expect(refusal('? [1, 2]\n: x\n').message).toContain('a key must be a plain word')
  expect(refusal('\0').code).toBe('SPEC_INVALID')
})

test('a merge key is a key like any other: nothing is merged', () => {
  expect(parseLaunchText('base: &b { x: 1 }\na:\n  <<: *b\n').document).toEqual({
    base: { x: 1 },
    a: { '<<': { x: 1 } },
  })
})

test('ten megabytes are refused at once', () => {
  const text = `a: ${'x'.repeat(10 * 1024 * 1024)}`
  const from = performance.now()
  expect(refusal(text).message).toContain('at most 1048576 bytes')
  expect(performance.now() - from).toBeLessThan(500)
})

test.each([
  ['flow lists', '['.repeat(500_000)],
  ['flow maps', '{a: '.repeat(200_000)],
  ['block lists', `${'- '.repeat(300_000)}x`],
  ['block maps', Array.from({ length: 1000 }, (_, i) => `${' '.repeat(i)}a:`).join('\n')],
])('%s nested without end are refused', (_, text) => {
  expect(refusal(text).message).toMatch(/nested deeper than 32/)
})

test('a bomb of aliases is refused', () => {
  const bomb = [
    'a0: &a0 [x, x, x, x, x, x, x, x, x, x]',
    ...Array.from(
      { length: 9 },
      (_, i) => `a${i + 1}: &a${i + 1} [${Array.from({ length: 10 }, () => `*a${i}`).join(', ')}]`,
    ),
  ].join('\n')
  expect(refusal(bomb).message).toContain('too many values')
  expect(refusal('a: &a { b: *a }\n').message).toMatch(/nested deeper|anchor/)
})

test('a megabyte of tiny values is refused', () => {
  expect(refusal(`a: [${'[],'.repeat(300_000)}]`).message).toContain('too many values')
})
