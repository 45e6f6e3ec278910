/**
 * The environment and the arguments of this process as the bytes that they are. Node decodes them as UTF-8
 * and puts U+FFFD where they are none, and it cannot give such bytes to a program that it starts. Here a byte
 * that is no UTF-8 is a lone surrogate, U+DC80 to U+DCFF, as Python has it, and a component that we start
 * gets the words in TROUPE_BYTES.
 */
import { isUtf8 } from 'node:buffer'
import { readFileSync } from 'node:fs'

/** A lone one: with the flag `u` half of a pair does not match. */
const ESCAPED = /[\uDC80-\uDCFF]/u
/** The kernel takes no variable above 128 KiB, and base64 adds a third. */
const PASSED_BYTES_MAX = 90_000

type Env = Readonly<Record<string, string | undefined>>

export function decodeWord(bytes: Buffer): string {
  return isUtf8(bytes)
    ? bytes.toString('utf8')
    : bytes
        .toString('latin1')
        .replaceAll(/[\x80-\xFF]/g, (byte) => String.fromCharCode(0xdc00 + byte.charCodeAt(0)))
}

export function encodeWord(text: string): Buffer {
  if (!isEscaped(text)) return Buffer.from(text)
  return Buffer.concat(
    Array.from(text, (part) =>
      ESCAPED.test(part) ? Buffer.of(part.charCodeAt(0) - 0xdc00) : Buffer.from(part),
    ),
  )
}

/** Does a word hold bytes that are no UTF-8? */
export function isEscaped(text: string): boolean {
  return ESCAPED.test(text)
}

/** `env` of this process, with the bytes of those variables that Node had to change. */
export function exactEnv(env: Env): Record<string, string> {
  const exact: Record<string, string | undefined> = { ...env }
  for (const word of changedWords(env)) {
    const [name, value] = halves(word.toString('utf8'))
    if (exact[name] !== value) continue
    delete exact[name]
    const [exactName, exactValue] = halves(decodeWord(word))
    exact[exactName] = exactValue
  }
  return Object.fromEntries(
    Object.entries(exact).filter((entry): entry is [string, string] => entry[1] !== undefined),
  )
}

/** `args`, the last arguments of this process, with the bytes of those that Node had to change. */
export function exactArgs(args: readonly string[]): string[] {
  const words = wordsOf(ofThisProcess('cmdline')).slice(-1 - args.length, -1)
  return args.map((arg, i) => (words[i]?.toString('utf8') === arg ? decodeWord(words[i]) : arg))
}

/** A word for a person: a byte that is no UTF-8 is shown as `\xff`. */
export function shownWord(text: string): string {
  return Array.from(text, (part) =>
    ESCAPED.test(part) ? `\\x${(part.charCodeAt(0) - 0xdc00).toString(16)}` : part,
  ).join('')
}

/** The environment for a component of ours: what cannot be passed on as it is is left out. */
export function withExactWords(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const passed = { ...env }
  let bytes = 0
  const words = changedWords(env).filter((word) => {
    bytes += word.length + 1
    if (bytes > PASSED_BYTES_MAX)
      for (const text of [word.toString('utf8'), decodeWord(word)]) delete passed[halves(text)[0]]
    return bytes <= PASSED_BYTES_MAX
  })
  if (words.length > 0) passed['TROUPE_BYTES'] = Buffer.concat(words.map(ended)).toString('base64')
  return passed
}

function changedWords(env: Env): Buffer[] {
  return [
    ...wordsOf(ofThisProcess('environ')),
    ...wordsOf(Buffer.from(env['TROUPE_BYTES'] ?? '', 'base64')),
  ].filter((word) => !isUtf8(word))
}

function ofThisProcess(words: 'cmdline' | 'environ'): Buffer {
  try {
    return readFileSync(`/proc/self/${words}`)
  } catch {
    return Buffer.alloc(0)
  }
}

function wordsOf(bytes: Buffer): Buffer[] {
  return bytes
    .toString('latin1')
    .split('\0')
    .map((word) => Buffer.from(word, 'latin1'))
}

function ended(word: Buffer): Buffer {
  return Buffer.concat([word, Buffer.of(0)])
}

function halves(word: string): [name: string, value: string] {
  const at = word.indexOf('=')
  return [word.slice(0, at), word.slice(at + 1)]
}
