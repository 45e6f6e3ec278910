// `npm run rows`: each row of FEATURES.md that this version must show, with the tests that show it, from the
// last `npm test`.
// Row ids stand in brackets at the end of a test's name: `[A-32 FC-2 +A17]`. Fails on a row without a passing
// test.
import { readFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { root } from './setup/setup.mjs'

function range(prefix, spec) {
  return spec
    .flatMap((item) =>
      Array.isArray(item) ? Array.from({ length: item[1] - item[0] + 1 }, (_, i) => item[0] + i) : [item],
    )
    .map((n) => `${prefix}-${String(n).padStart(prefix === 'FC' ? 1 : 2, '0')}`)
}

export const ROWS = [
  ...range('A', [[1, 7], [18, 21], [27, 34], 36, 37, [39, 44]]),
  ...range('K', [2, 8, 16, [24, 26]]),
  ...range('U', [2, 3, [5, 8], 11, 13, 14]),
  ...range('R', [6, 10, 13, 15, 17, 18]),
  ...range('FC', [[1, 5], 8, 9, [12, 16], 18, 21, [23, 25]]),
  // the known defects that these rows point to
  ...[
    'A2',
    'A3',
    'A7',
    'A9',
    'A15',
    'A16',
    'A17',
    'A18',
    'A22',
    'A27',
    'K1',
    'K4',
    'R3',
    'U4',
    'U5',
    'U6',
    'U7',
  ].map((id) => `+${id}`),
]

const results = JSON.parse(
  await readFile(join(root, 'dist/test-results.json'), 'utf8').catch(() => {
    process.stderr.write('no results yet: run `npm test` first\n')
    process.exit(2)
  }),
)
const shown = new Map(ROWS.map((row) => [row, []]))
for (const file of results.testResults)
  for (const test of file.assertionResults) {
    const ids = /\[([^\]]+)\]\s*$/.exec(test.title)?.[1]?.split(/\s+/) ?? []
    for (const id of ids)
      shown.get(id)?.push({ title: test.title, file: relative(root, file.name), status: test.status })
  }

let missing = 0
for (const [row, tests] of shown) {
  const passing = tests.filter((test) => test.status === 'passed')
  if (passing.length === 0) missing++
  process.stdout.write(`${row}${passing.length === 0 ? '  NOT SHOWN' : ''}\n`)
  for (const { status, file, title } of tests)
    process.stdout.write(`  ${status === 'passed' ? '' : `${status}: `}${file}: ${title}\n`)
}
process.stdout.write(`${ROWS.length - missing} of ${ROWS.length} rows have a passing test\n`)
process.exitCode = missing === 0 ? 0 : 1
