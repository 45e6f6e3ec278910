import { createHash, randomBytes } from 'node:crypto'
import {
  appendFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readlink,
  rename,
  rm,
  truncate,
  unlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import {
  createTail,
  offsetOfTail,
  readRange,
  watchSources,
  type TailOptions,
} from '../../../src/process/log-tail.ts'
import type { LogChunk, LogTail } from '../../../src/process/log-store.ts'

let dir: string
let count = 0
const closing: { close(): unknown }[] = []
beforeAll(async () => void (dir = await mkdtemp(join(tmpdir(), 'troupe-tail-'))))
afterEach(async () => {
  for (const one of closing.splice(0)) await one.close()
})
afterAll(() => rm(dir, { recursive: true }))

function newFile(): string {
  return join(dir, `source-${count++}`)
}
function tailOf(file: string, options: Partial<TailOptions> = {}): LogTail {
  const tail = createTail(file, { offset: 0, ...options })
  closing.push(tail)
  return tail
}
async function readAll(tail: LogTail): Promise<LogChunk[]> {
  const chunks: LogChunk[] = []
  for (let chunk = await tail.read(); chunk !== null; chunk = await tail.read()) chunks.push(chunk)
  return chunks
}
function bytesOf(chunks: LogChunk[]): Buffer {
  return Buffer.concat(chunks.map(({ bytes }) => bytes))
}
function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('binary bytes, lines of 1 MB and a last line without newline are read byte for byte, in chunks that are bounded [FC-13 A-33]', async () => {
  const file = newFile()
  const content = Buffer.concat([
    randomBytes(300_001),
    Buffer.alloc(2 ** 20, 'x'),
    Buffer.from('\nlast \0 line without newline'),
  ])
  await writeFile(file, content)
  const chunks = await readAll(tailOf(file, { chunkBytesMax: 65_536 }))
  expect(Math.max(...chunks.map(({ bytes }) => bytes.length))).toBe(65_536)
  let expected = 0
  for (const { offset, bytes, generation } of chunks) {
    expect({ offset, generation }).toEqual({ offset: expected, generation: 0 })
    expected += bytes.length
  }
  expect(sha256(bytesOf(chunks))).toBe(sha256(content))
})

test('what is appended later is read later; before the file is there, and at its end, there is nothing [A-33]', async () => {
  const file = newFile()
  const tail = tailOf(file)
  expect(await tail.read()).toBeNull()
  await appendFile(file, 'one')
  expect(bytesOf(await readAll(tail)).toString()).toBe('one')
  await appendFile(file, 'two')
  expect(await tail.read()).toMatchObject({ generation: 0, offset: 3, bytes: Buffer.from('two') })
  expect(await tail.read()).toBeNull()
})

test('reading goes on at the offset of an earlier agent, and seek goes elsewhere [A-33 FC-5]', async () => {
  const file = newFile()
  await writeFile(file, '0123456789')
  const tail = tailOf(file, { offset: 4, generation: 2 })
  expect(await tail.read()).toMatchObject({ generation: 2, offset: 4, bytes: Buffer.from('456789') })
  tail.seek(8)
  expect(await tail.read()).toMatchObject({ generation: 2, offset: 8, bytes: Buffer.from('89') })
})

test('a chunk stays what it was when the next one is read: it is the reader’s own [A-33]', async () => {
  const file = newFile()
  await writeFile(file, 'aaaabbbb')
  const tail = tailOf(file, { chunkBytesMax: 4 })
  const first = await tail.read()
  await tail.read()
  expect(Buffer.from(first!.bytes).toString()).toBe('aaaa')
})

test('a file that shrank starts a new generation at 0, and so does one that shrank and outgrew our offset before we looked [FC-13 A-33]', async () => {
  const file = newFile()
  await writeFile(file, 'line 1\nline 2\nline 3\n')
  const tail = tailOf(file)
  await readAll(tail)
  await truncate(file, 0)
  await appendFile(file, 'x\n')
  expect(await tail.read()).toMatchObject({ generation: 1, offset: 0, bytes: Buffer.from('x\n') })
  await truncate(file, 0)
  await appendFile(file, 'quite another text, and longer\n')
  expect(await tail.read()).toMatchObject({
    generation: 2,
    offset: 0,
    bytes: Buffer.from('quite another text, and longer\n'),
  })
})

test('a file that was replaced by another is a new generation [A-33]', async () => {
  const file = newFile()
  await writeFile(file, 'old bytes')
  const tail = tailOf(file)
  await readAll(tail)
  await writeFile(`${file}.new`, 'old bytes and more')
  await rename(`${file}.new`, file)
  expect(await tail.read()).toMatchObject({
    generation: 1,
    offset: 0,
    bytes: Buffer.from('old bytes and more'),
  })
  await unlink(file)
  expect(await tail.read()).toBeNull()
})

test('a prefix that was freed after shipping reads as NULs and is no new generation [FC-13]', async () => {
  const file = newFile()
  await writeFile(file, 'shipped already;')
  const tail = tailOf(file)
  await readAll(tail)
  const handle = await open(file, 'r+')
  await handle.write(Buffer.alloc(16), 0, 16, 0)
  await handle.close()
  await appendFile(file, 'new')
  expect(await tail.read()).toMatchObject({ generation: 0, offset: 16, bytes: Buffer.from('new') })
})

test('a tail that is closed at any moment of a read never fails, gives nothing afterwards and leaves no descriptor open [A-33]', async () => {
  const file = newFile()
  await writeFile(file, 'bytes')
  for (let turns = 0; turns < 12; turns++) {
    const tail = tailOf(file)
    const reading = tail.read()
    for (let i = 0; i < turns; i++) await new Promise(setImmediate)
    await tail.close()
    await reading
    expect(await tail.read()).toBeNull()
  }
  const links = await Promise.all(
    (await readdir('/proc/self/fd')).map((fd) => readlink(`/proc/self/fd/${fd}`).catch(() => '')),
  )
  expect(links).not.toContain(file)
})

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
  const tail = tailOf(file)
  const handle = await open(file, 'a')
  for (let i = 0; i < 2000; i++) await handle.write(`line ${i}\n`)
  await handle.close()
  let text = ''
  while (!text.endsWith('line 1999\n')) {
    const chunks = await readAll(tail)
    text += bytesOf(chunks).toString()
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
