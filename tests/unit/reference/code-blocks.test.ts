import { expect, test } from 'vitest'
import { blocksOf, pages } from '../../support/code-blocks.ts'
import { resolveText } from '../../support/launch-text.ts'

const all = pages().flatMap(blocksOf)

test('every code block is typed, saved to a file, or shown as text; those that are not run are these, with a reason', () => {
  const unclear = all.filter(
    ({ language, file, notRun }) =>
      notRun === null &&
      !['sh', 'text'].includes(language) &&
      !(['yaml', 'js'].includes(language) && file !== null),
  )
  expect(unclear.map(({ page, line, language }) => `${page}:${line} ${language}`)).toEqual([])
  expect(
    all
      .filter(({ notRun }) => notRun !== null)
      .map(({ page, text }) => [page, text.split('\n')[0]!.slice(0, 9)]),
  ).toEqual([
    ['README.md', 'npm start'],
    ...Array.from({ length: 5 }, () => ['docs/reached.md', 'troupe up']),
    ['docs/reached.md', 'troupe do'],
  ])
})

test('code is run on four pages: e2e/readme, integration/keys and integration/from-nothing run them', () => {
  const run = all.filter(({ language, notRun }) => language !== 'text' && notRun === null)
  const pages = ['a-laptop', 'agents-on-other-machines', 'backup-and-rotation']
  expect(new Set(run.map(({ page }) => page))).toEqual(
    new Set(['README.md', ...pages.map((name) => `docs/howto/${name}.md`)]),
  )
})

test('text is not code: no command of ours stands in a block that is only shown, but as its usage', () => {
  const shown = all.filter(({ language }) => language === 'text').flatMap(({ text }) => text.split('\n'))
  const commands = shown.filter((line) => /^(troupe|npm|node) /.test(line) && !/[[<(]|\.\.\.|…/.test(line))
  expect(commands).toEqual([])
})

test('every launch document of a page is one', () => {
  const documents = all.filter(({ language }) => language === 'yaml')
  expect(documents.map(({ text }) => resolveText(text).name)).toEqual(['two-node-ddp', 'there'])
})
