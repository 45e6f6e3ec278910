import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { pages } from '../../../src/cli/docs.ts'

test.each(pages())('$path is what the commands say (npm run gen)', async ({ path, text }) => {
  expect(await readFile(join(import.meta.dirname, '../../..', path), 'utf8')).toBe(text)
})
