import { createHash, randomBytes } from 'node:crypto'
import {
  appendFile,
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
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { createTail, type TailOptions } from '../../../src/process/log-tail.ts'
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

test('a file that is removed is read on while it is held, and the one that takes its place comes after its rest', async () => {
  const file = newFile()
  const writer = await open(file, 'a')
  closing.push(writer)
  await writer.write('one')
  const tail = tailOf(file)
  expect(bytesOf(await readAll(tail)).toString()).toBe('one')
  await unlink(file)
  await writer.write('two')
  expect(await tail.read()).toMatchObject({ generation: 0, offset: 3, bytes: Buffer.from('two') })
  expect([await tail.read(), tail.fileIs()]).toEqual([null, 'held'])
  await writer.write('three')
  await writeFile(file, 'new')
  const chunks = await readAll(tail)
  expect(chunks.map(({ generation, bytes }) => [generation, Buffer.from(bytes).toString()])).toEqual([
    [0, 'three'],
    [1, 'new'],
  ])
  expect(tail.fileIs()).toBe('there')
})

test('where no file may be kept open, reading goes on, and one that is removed is absent', async () => {
  const file = newFile()
  const none = { take: () => false, give: () => undefined, briefly: <T>(use: () => Promise<T>) => use() }
  await writeFile(file, 'one')
  const tail = tailOf(file, { keep: none })
  expect(bytesOf(await readAll(tail)).toString()).toBe('one')
  await appendFile(file, 'two')
  expect(await tail.read()).toMatchObject({ generation: 0, offset: 3, bytes: Buffer.from('two') })
  await unlink(file)
  expect([await tail.read(), tail.fileIs()]).toEqual([null, 'absent'])
})
