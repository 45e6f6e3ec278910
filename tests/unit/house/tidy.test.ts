/** The form of the house, read from its syntax trees; exceptions.ts has each exception, with its reason. */
import { expect, test } from 'vitest'
import { circles, sharedPackages, unusedExports } from '../../support/house/module-graph.ts'
import {
  functionsInConstants,
  longFiles,
  longFunctions,
  wideLines,
  withoutFirstComment,
} from '../../support/house/rules.ts'
import { dependencies, parse, readSource, type SourceFile } from '../../support/house/source-files.ts'
import { EXCEPTIONS } from './exceptions.ts'

const files = readSource()
const broken: Readonly<Record<string, string[]>> = {
  'a line is at most 110 wide, one with a literal at most 160': files.flatMap(wideLines),
  'a file has at most 300 lines': files.flatMap(longFiles),
  'a function has at most 70 lines': files.flatMap(longFunctions),
  'a file of src begins with a comment that says what it owns': files.flatMap(withoutFirstComment),
  'a function at the top level is a declaration': files.flatMap(functionsInConstants),
  'imports of src make no circles': circles(files),
  'an export of src has an importer in src': unusedExports(files),
  'a package has one importer': sharedPackages(files, dependencies()),
}

test.each(Object.entries(broken))('%s', (_, found) => {
  expect(found.filter((name) => !Object.hasOwn(EXCEPTIONS, name))).toEqual([])
})

test('an exception that nothing needs any more is no longer in the table', () => {
  const needed = new Set(Object.values(broken).flat())
  expect(Object.keys(EXCEPTIONS).filter((name) => !needed.has(name))).toEqual([])
})

function word(length: number): string {
  return 'x'.repeat(length)
}
function body(lines: number): string {
  return 'void 0\n'.repeat(lines)
}
const EACH_RULE: [string, (files: SourceFile[]) => string[], Record<string, string>, string[]][] = [
  [
    'code beyond the width',
    (all) => all.flatMap(wideLines),
    { 'src/a.ts': `// ${word(108)}`, 'src/b.ts': `'${word(158)}'`, 'src/c.ts': `'${word(159)}'` },
    ['wide src/a.ts', 'wide src/c.ts'],
  ],
  [
    'a file too long',
    (all) => all.flatMap(longFiles),
    { 'src/a.ts': body(301), 'src/b.ts': body(300) },
    ['long src/a.ts'],
  ],
  [
    'functions too long, by name or by what they are handed to; lists of tests are none',
    (all) => all.flatMap(longFunctions),
    {
      'src/a.ts': `function f() {\n${body(69)}}\nconst o = { g: () => {\n${body(69)}} }\n`,
      'src/b.ts': `h(() => {\n${body(69)}})\nfunction short() {\n${body(68)}}`,
      'tests/c.ts': `describe('x', () => {\ntest('y', z)\n${body(70)}})`,
    },
    ['long src/a.ts f', 'long src/a.ts g', 'long src/b.ts h(…)'],
  ],
  [
    'no first comment',
    (all) => all.flatMap(withoutFirstComment),
    { 'src/a.ts': 'void 0', 'src/b.ts': '/** It owns b. */', 'tests/c.ts': 'void 0' },
    ['comment src/a.ts'],
  ],
  [
    'a function in a constant; one with a named signature, or that is exchanged, is none',
    (all) => all.flatMap(functionsInConstants),
    { 'src/a.ts': 'export const f = () => 1\nconst g: G = () => 1\nlet h = () => 1' },
    ['constant src/a.ts f'],
  ],
  [
    'a circle, of types and of lazy imports too',
    circles,
    {
      'src/a.ts': "import type { B } from './b.ts'",
      'src/b.ts': "void import('./c.ts')",
      'src/c.ts': "type A = import('./a.ts').A",
      'src/d.ts': "import './a.ts'",
    },
    ['circle src/a.ts src/b.ts src/c.ts'],
  ],
  [
    'exports without an importer, or with one outside of src alone',
    unusedExports,
    {
      'src/a.ts':
        'export const a = 1\nexport function b() {}\nexport class C {}\nexport interface D {}\nexport type E = 1\nlet x: E',
      'src/b.ts': "import { a } from './a.ts'",
      'tests/c.ts': "const { b } = await import('../src/a.ts')",
    },
    ['outside src/a.ts b', 'unused src/a.ts C', 'unused src/a.ts D'],
  ],
  [
    'a package with two importers',
    (all) => sharedPackages(all, ['nats', 'pino', '@x/y']),
    {
      'src/a.ts': "import 'nats/lib'\nimport 'pino'\nimport '@x/y'",
      'src/b.ts': "import type { N } from 'nats'\nimport '@x/z'",
      'tests/c.ts': "import 'pino'",
    },
    ['package nats'],
  ],
]

test.each(EACH_RULE)('a rule finds what breaks it: %s', (_, rule, sources, found) => {
  const parsed = Object.entries(sources).map(([path, text]) => parse(path, text))
  expect(rule(parsed)).toEqual(found)
})
