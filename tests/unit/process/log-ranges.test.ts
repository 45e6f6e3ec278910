import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { offsetOfTail, readRange } from '../../../src/process/log-ranges.ts'

let dir: string
let count = 0
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'troupe-ranges-'))))
afterAll(() => rm(dir, { recursive: true }))

function newFile(): string {
  return join(dir, `source-${count++}`)
}

test('a range is what the file has there, and nothing beyond its end or without a file [A-33]', async () => {
  const file = newFile()
  await writeFile(file, '0123456789')
  const text = async (offset: number, bytesMax: number): Promise<string> =>
    Buffer.from(await readRange(file, offset, bytesMax)).toString()
  expect(await text(2, 3)).toBe('234')
  expect(await text(8, 100)).toBe('89')
  expect(await text(10, 5)).toBe('')
  expect(await text(99, 5)).toBe('')
  expect((await readRange(`${file}.none`, 0, 5)).length).toBe(0)
})

test('the last lines begin where cutting the text into lines says, whatever the text, over several blocks too [A-34 A-33]', async () => {
  const file = newFile()
  const lines = fc.array(fc.oneof(fc.string({ maxLength: 5 }), fc.constantFrom('', 'x'.repeat(70_000))), {
    maxLength: 8,
  })
  await fc.assert(
    fc.asyncProperty(lines, fc.boolean(), fc.integer({ min: 0, max: 10 }), async (words, ended, wanted) => {
      const content = words
        .map((word) => `${word.replaceAll('\n', '')}\n`)
        .join('')
        .slice(0, ended ? undefined : -1)
      await writeFile(file, content)
      const pieces = content.match(/[^\n]*\n|[^\n]+$/g) ?? []
      const tail = wanted === 0 ? '' : pieces.slice(-wanted).join('')
      const offset = await offsetOfTail(file, wanted)
      expect((await readRange(file, offset, 10 ** 7)).length).toBe(Buffer.byteLength(tail))
    }),
    { numRuns: 60 },
  )
})

test('looking for the last lines stops at the floor below which bytes were freed, and needs no file [A-34]', async () => {
  const file = newFile()
  await writeFile(file, 'a\nb\nc\n')
  expect(await offsetOfTail(file, 5, 2)).toBe(2)
  expect(await offsetOfTail(file, 1, 2)).toBe(4)
  expect(await offsetOfTail(`${file}.none`, 5)).toBe(0)
})

/** Sources as they are told, and a promise of the next time that one is. */
