/**
 * Text of a launch document, YAML or JSON, into plain values that remember their lines. Owns the limits
 * (size, tokens, depth, aliases) and what YAML means here; what the keys mean stands in document.ts.
 *
 * 1. Duplicate keys are errors; `<<` is a key like any other; unknown tags are errors.
 * 2. Where a string is wanted and somebody wrote a number (`[--lr, 1e-3]`, `VERSION: 1.10`), the text as
 * written is kept.
 * 3. An alias is copied, and the copies count towards the limits.
 */
import {
  Composer,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  Lexer,
  LineCounter,
  Parser,
  type Document,
  type Node,
  type ParsedNode,
  type YAMLMap,
} from 'yaml'
import { Fault } from '../faults.ts'

const TEXT_BYTES_MAX = 1024 * 1024
export const TEXT_DEPTH_MAX = 32
const LEXEMES_MAX = 200_000
const VALUES_MAX = 50_000

export type Path = readonly (string | number)[]
export interface Position {
  line: number
  column: number
}

/** Where a document came from, for messages. */
export interface LaunchSource {
  file?: string
  /**
   * 1-based position of a key or list entry; null when the text does not have it (it came by `--set`, or over
   * the bus)
   */
  at(path: Path): Position | null
}

export interface LaunchIssue {
  path: string
  line?: number
  column?: number
  message: string
  near?: string
}

/** `roles.trainer.command[2]` */
export function pathText(path: Path): string {
  return path
    .map((part, i) => (typeof part === 'number' ? `[${part}]` : `${i === 0 ? '' : '.'}${part.slice(0, 80)}`))
    .join('')
}

/** One issue as a sentence: what, where, and the nearest word. */
export function issueText({ path, line, message, near }: LaunchIssue): string {
  return `${message}${path === '' ? '' : ` at ${path}`}${line === undefined ? '' : ` (line ${line})`}${near === undefined ? '' : `; did you mean '${near}'?`}`
}

/** All issues of a document as one fault: the message shows the first and counts the rest. */
export function specInvalid(issues: readonly LaunchIssue[], file?: string): Fault {
  return new Fault(
    'SPEC_INVALID',
    `${issueText(issues[0]!)}${issues.length > 1 ? ` (and ${issues.length - 1} more)` : ''}`,
    {
      data: { issues: [...issues], ...(file !== undefined && { file }) },
    },
  )
}

/** @throws {Fault} SPEC_INVALID when the text is too long, too deep, no YAML, or no mapping */
export function parseLaunchText(
  text: string,
  file?: string,
): { document: Record<string, unknown>; source: LaunchSource } {
  const lines = new LineCounter()
  const refuse = (message: string, offset?: number, path: Path = []): never => {
    const position = offset === undefined ? null : positionOf(lines, offset)
    throw specInvalid([{ path: pathText(path), ...(position !== null && position), message }], file)
  }
  const yaml = composeText(text, lines, refuse)
  if (yaml.contents === null) return refuse('the document is empty')
  if (!isMap(yaml.contents))
    return refuse('a launch document is a mapping of keys to values', yaml.contents.range?.[0])
  const document = plainOf(yaml, yaml.contents, [], refuse) as Record<string, unknown>
  return { document, source: { ...(file !== undefined && { file }), at: (path) => find(yaml, path, lines) } }
}

/** One YAML value, as `--set` takes it; `path` decides whether a number stays as it is written. */
export function parseValueText(text: string, path: Path): unknown {
  const refuse = (message: string): never => {
    throw specInvalid([
      { path: pathText(path), message: `${message} (the value of --set is YAML: quote it if it is text)` },
    ])
  }
  const yaml = composeText(text, new LineCounter(), refuse)
  return yaml.contents === null ? '' : plainOf(yaml, yaml.contents, path, refuse)
}

type Refuse = (message: string, offset?: number, path?: Path) => never

function positionOf(lines: LineCounter, offset: number): Position {
  const { line, col } = lines.linePos(offset)
  return { line, column: col }
}

function composeText(text: string, lines: LineCounter, refuse: Refuse): Document.Parsed {
  // characters first: counting the bytes of a huge text would already be work
  if (text.length > TEXT_BYTES_MAX || Buffer.byteLength(text) > TEXT_BYTES_MAX)
    return refuse(`a document of ${text.length} characters; at most ${TEXT_BYTES_MAX} bytes are read`)
  const composer = new Composer({
    version: '1.2',
    merge: false,
    uniqueKeys: false,
    prettyErrors: false,
    keepSourceTokens: false,
  })
  const parser = new Parser((offset) => lines.addNewLine(offset))
  const documents: Document.Parsed[] = []
  let lexemes = 0
  // the parser keeps its own stack and the composer recurses: nesting and size are refused before anything is
  // composed
  const tokens = []
  lines.addNewLine(0)
  for (const lexeme of new Lexer().lex(text)) {
    for (const token of parser.next(lexeme)) tokens.push(token)
    if (parser.stack.length > TEXT_DEPTH_MAX + 3)
      return refuse(`nested deeper than ${TEXT_DEPTH_MAX}`, parser.offset)
    if (++lexemes > LEXEMES_MAX) return refuse('the document has too many values', parser.offset)
  }
  for (const token of parser.end()) tokens.push(token)
  for (const token of tokens)
    for (const document of composer.next(token)) documents.push(document as Document.Parsed)
  for (const document of composer.end(true, text.length)) documents.push(document as Document.Parsed)
  const problem = documents.flatMap((document) => [...document.errors, ...document.warnings])[0]
  if (problem) return refuse(`not YAML: ${problem.message}`, problem.pos[0])
  if (documents.length > 1)
    return refuse('two documents in one text; a launch is one', documents[1]!.range[0])
  return documents[0]!
}

/** Strings are wanted here: commands, prefixes, environment values. */
function wantsText(path: Path): boolean {
  const [top, , key, sub, subsub] = path
  if (top === 'env' || top === 'callerEnv' || top === 'prefix') return path.length > 1
  if (top === 'callerShell') return path[1] === 'umask'
  if (top !== 'roles') return false
  return (
    (['env', 'command', 'prefix'].includes(key as string) && path.length > 3) ||
    (key === 'command' && path.length === 3) ||
    sub === 'exec' ||
    subsub === 'exec'
  )
}

function plainOf(yaml: Document.Parsed, top: ParsedNode, topPath: Path, refuse: Refuse): unknown {
  let values = 0
  const plain = (node: Node | null, path: Path, depth: number): unknown => {
    if (++values > VALUES_MAX) return refuse('the document has too many values', node?.range?.[0], path)
    if (depth > TEXT_DEPTH_MAX) return refuse(`nested deeper than ${TEXT_DEPTH_MAX}`, node?.range?.[0], path)
    if (isAlias(node)) {
      const target = node.resolve(yaml)
      return target
        ? plain(target, path, depth + 1)
        : refuse(`the alias '*${node.source}' names no anchor`, node.range?.[0], path)
    }
    if (isSeq(node)) return node.items.map((item, i) => plain(item as Node | null, [...path, i], depth + 1))
    if (isMap(node)) return mapOf(node, path, depth)
    if (!isScalar(node)) return null
    if (typeof node.value === 'bigint') return Number(node.value)
    return (typeof node.value === 'number' || typeof node.value === 'boolean') && wantsText(path)
      ? (node.source ?? String(node.value))
      : node.value
  }
  const mapOf = (node: YAMLMap, path: Path, depth: number): Record<string, unknown> => {
    const result: Record<string, unknown> = {}
    for (const pair of node.items) {
      const key = keyText(pair.key)
      if (key === null)
        return refuse(
          'a key must be a plain word',
          (pair.key as Node | null)?.range?.[0] ?? node.range?.[0],
          path,
        )
      if (Object.hasOwn(result, key))
        return refuse(`the key '${key}' is given twice`, (pair.key as Node).range?.[0], [...path, key])
      // not an assignment: `__proto__` must stay a key like any other, to be refused as unknown
      Object.defineProperty(result, key, {
        value: plain(pair.value as Node | null, [...path, key], depth + 1),
        enumerable: true,
        writable: true,
        configurable: true,
      })
    }
    return result
  }
  return plain(top, topPath, 0)
}

function keyText(key: unknown): string | null {
  if (!isScalar(key) || key.value === null) return null
  return typeof key.value === 'string' ? key.value : (key.source ?? String(key.value))
}

function find(yaml: Document.Parsed, path: Path, lines: LineCounter): Position | null {
  let node: Node | null = yaml.contents
  let offset = node?.range?.[0]
  for (const part of path) {
    if (isAlias(node)) node = node.resolve(yaml) ?? null
    if (isMap(node)) {
      const pair = node.items.find((item) => keyText(item.key) === String(part))
      if (!pair) return null
      offset = (pair.key as Node).range?.[0]
      node = pair.value as Node | null
    } else if (isSeq(node)) {
      node = (node.items[Number(part)] as Node | undefined) ?? null
      if (node === null) return null
      offset = node.range?.[0]
    } else return null
  }
  return offset === undefined ? null : positionOf(lines, offset)
}
