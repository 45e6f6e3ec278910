import { expect, test } from 'vitest'
import { afterReturns, visible } from '../../../src/system/terminal.ts'

const ESC = '\u001b'

test.each([
  ['a line without one is as it is', 'plain ', 'plain '],
  ['a progress bar is its last state', '\rtrain: 0%\rtrain: 50%\rtrain: 100%', 'train: 100%'],
  ['the end of a line as other systems write it is dropped', 'text\r', 'text'],
  ['a shorter text leaves the end of the longer', 'abcdef\rXY', 'XYcdef'],
  ['spaces wipe it', 'abcdef\r      \rok', 'ok'],
  ['erasing to the end of the line wipes it', `abcdef\rok${ESC}[K`, 'ok'],
  ['erasing the line wipes it', `abcdef${ESC}[2K\rok`, 'ok'],
  ['colour takes no room', `abc\r${ESC}[31mX${ESC}[0m`, `${ESC}[31mX${ESC}[0mbc`],
])('carriage returns: %s', (_, line, expected) => {
  expect(afterReturns(line)).toBe(expected)
})

test('a bar of megabytes is read from its end', () => {
  expect(afterReturns(`${'\r0%'.repeat(2_000_000)}\r100%`)).toBe('100%')
})

test.each([
  ['text, tabs and newlines are as they are', 'a\tb\nc – 大', 'a\tb\nc – 大'],
  ['a window title and a cleared screen', `a${ESC}]0;PWNED\u0007${ESC}[2Jb`, 'a\\x1b]0;PWNED\\x07\\x1b[2Jb'],
  ['colour stays, and ends with its line', `x${ESC}[31mERR${ESC}[2J`, `x${ESC}[31mERR\\x1b[2J${ESC}[0m`],
  ['colour that ends itself is left alone', `${ESC}[1;31mx${ESC}[0m`, `${ESC}[1;31mx${ESC}[0m`],
  ['each line ends its own', `${ESC}[31ma\nb`, `${ESC}[31ma${ESC}[0m\nb`],
  ['eight-bit controls, in a form that JSON takes', 'a\u009b2Jb\u007f', 'a\\u009b2Jb\\u007f'],
  ['a carriage return and a backspace', 'secret\rpublic\b', 'secret\\x0dpublic\\x08'],
  ['an escape at the end', `a${ESC}`, 'a\\x1b'],
])('what a terminal may be given: %s', (_, text, expected) => {
  expect(visible(text)).toBe(expected)
})
