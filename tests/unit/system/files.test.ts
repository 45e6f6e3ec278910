import { execFileSync } from 'node:child_process'
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import {
  overwriteFileSync,
  readEndSync,
  readJsonSync,
  readPlainSync,
  removeTreeSync,
  replaceFileSync,
} from '../../../src/system/files.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

let directory: string
beforeEach(() => void (directory = temporaryDirectory()))
afterEach(() => removeDirectory(directory))

test('a file is replaced whole, and nothing else is left', () => {
  const file = join(directory, 'a')
  for (const text of ['one', 'a longer two']) replaceFileSync(file, text)
  expect(readFileSync(file, 'utf8')).toBe('a longer two')
  expect(readdirSync(directory)).toEqual(['a'])
})

test('a replacement that cannot be made leaves the old file', () => {
  mkdirSync(join(directory, 'a'))
  expect(() => replaceFileSync(join(directory, 'a'), 'text')).toThrow()
  expect(readdirSync(directory)).toEqual(['a'])
})

test('small JSON is written over in place, whole whether it grows or shrinks; what fits no more is replaced', () => {
  const file = join(directory, 'a')
  const [short, longer, long] = [{ a: 1 }, { a: 'é'.repeat(500) }, { a: 'x'.repeat(9000) }]
  overwriteFileSync(file, JSON.stringify(longer))
  const { ino, size } = statSync(file)
  for (const value of [short, longer, short]) {
    overwriteFileSync(file, JSON.stringify(value))
    expect(readJsonSync(file)).toEqual(value)
  }
  expect(statSync(file)).toMatchObject({ ino, size })
  for (const value of [long, short]) {
    overwriteFileSync(file, JSON.stringify(value))
    expect(readJsonSync(file)).toEqual(value)
  }
  expect(readdirSync(directory)).toEqual(['a'])
})

test('the end of a file: all of a short one, the last bytes of a long one, nothing of none', () => {
  writeFileSync(join(directory, 'a'), '0123456789')
  expect([
    readEndSync(join(directory, 'a'), 4),
    readEndSync(join(directory, 'a'), 100),
    readEndSync(join(directory, 'none'), 4),
  ]).toEqual(['6789', '0123456789', ''])
})

test('JSON or nothing', () => {
  writeFileSync(join(directory, 'good'), '{"a":1}')
  writeFileSync(join(directory, 'half'), '{"a":')
  expect(['good', 'half', 'none'].map((name) => readJsonSync(join(directory, name)))).toEqual([
    { a: 1 },
    null,
    null,
  ])
})

test('a tree is removed with all in it, but not what a link in it points to', () => {
  const [tree, outside] = [join(directory, 'tree'), join(directory, 'outside')]
  mkdirSync(join(tree, 'deep', 'deeper'), { recursive: true })
  mkdirSync(outside)
  writeFileSync(join(tree, 'deep', 'file'), 'x')
  writeFileSync(join(outside, 'kept'), 'x')
  symlinkSync(outside, join(tree, 'link'))
  removeTreeSync(tree)
  removeTreeSync(tree)
  expect(existsSync(tree)).toBe(false)
  expect(readdirSync(outside)).toEqual(['kept'])
})

test('a link in the place of a tree is removed, and nothing of what it points to', () => {
  const [tree, outside] = [join(directory, 'tree'), join(directory, 'outside')]
  mkdirSync(join(outside, 'deep'), { recursive: true })
  writeFileSync(join(outside, 'deep', 'kept'), 'x')
  symlinkSync(outside, tree)
  removeTreeSync(tree)
  expect(lstatSync(tree, { throwIfNoEntry: false })).toBeUndefined()
  expect(readdirSync(join(outside, 'deep'))).toEqual(['kept'])
  symlinkSync(join(directory, 'nowhere'), tree)
  removeTreeSync(tree)
  expect(lstatSync(tree, { throwIfNoEntry: false })).toBeUndefined()
})

test('a pipe, a device or a directory in the place of a file is none, and nothing waits for it', () => {
  execFileSync('mkfifo', [join(directory, 'pipe')])
  symlinkSync('/dev/zero', join(directory, 'device'))
  mkdirSync(join(directory, 'folder'))
  for (const name of ['pipe', 'device', 'folder']) {
    const file = join(directory, name)
    expect(readJsonSync(file)).toBeNull()
    expect(readEndSync(file, 4)).toBe('')
    expect(() => readPlainSync(file, 'utf8', 4)).toThrow()
  }
})

test('of a plain file no more is read than was asked for', () => {
  writeFileSync(join(directory, 'long'), 'abcdef')
  expect(readPlainSync(join(directory, 'long'), 'utf8', 4)).toBe('abcd')
  expect(readPlainSync(join(directory, 'long'), 'latin1', 40)).toBe('abcdef')
})
