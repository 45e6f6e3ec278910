import { appendFile, mkdir, mkdtemp, open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createTail } from '../../../src/process/log-tail.ts'
import { watchSources } from '../../../src/process/source-watch.ts'

let dir: string
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'troupe-watch-'))))
const closing: { close(): unknown }[] = []
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close()
})
afterAll(() => rm(dir, { recursive: true }))

function watched(folder: string): { next(source: string): Promise<void>; told: string[] } {
  const told: string[] = []
  let waiting: { source: string; resolve: () => void }[] = []
  closing.push(
    watchSources(folder, (source) => {
      told.push(source)
      const met = waiting.filter((one) => one.source === source)
      waiting = waiting.filter((one) => one.source !== source)
      for (const { resolve } of met) resolve()
    }),
  )
  return { told, next: (source) => new Promise((resolve) => void waiting.push({ source, resolve })) }
}

test('one watcher tells of the sources that are there, of new ones, and of each that grows, and only of that one [A-33]', async () => {
  const folder = await mkdtemp(join(dir, 'sources-'))
  await writeFile(join(folder, 'stdout'), '')
  const sources = watched(folder)
  expect(sources.told).toEqual([])
  await sources.next('stdout')
  const rank = sources.next('r0-stderr')
  await writeFile(join(folder, 'r0-stderr'), 'x')
  await rank
  const before = sources.told.length
  const grown = sources.next('stdout')
  await appendFile(join(folder, 'stdout'), 'more')
  await grown
  expect(new Set(sources.told.slice(before).filter((source) => source !== 'r0-stderr'))).toEqual(
    new Set(['stdout']),
  )
})

test('a flood of writes is told a few times, not once for each write, and the last is among them [FC-13]', async () => {
  const folder = await mkdtemp(join(dir, 'flood-'))
  const file = join(folder, 'stdout')
  await writeFile(file, '')
  const sources = watched(folder)
  await sources.next('stdout')
  const tail = createTail(file, { offset: 0 })
  closing.push(tail)
  const handle = await open(file, 'a')
  for (let i = 0; i < 2000; i++) await handle.write(`line ${i}\n`)
  await handle.close()
  let text = ''
  while (!text.endsWith('line 1999\n')) {
    for (let chunk = await tail.read(); chunk !== null; chunk = await tail.read())
      text += Buffer.from(chunk.bytes).toString()
    if (!text.endsWith('line 1999\n')) await sources.next('stdout')
  }
  expect(sources.told.length).toBeLessThan(1000)
})

test('a directory that cannot be watched is looked at again and again until it is there [A-33]', async () => {
  const folder = join(dir, 'later')
  const sources = watched(folder)
  const told = sources.next('stdout')
  await mkdir(folder)
  await writeFile(join(folder, 'stdout'), 'x')
  await told
})
