/**
 * What is wrong with the form of a launch document, in people's words: zod's issues become one list with
 * path, line and the nearest word. What the keys mean together is judged in checks.ts.
 */
import type { z } from 'zod'
import { LATER } from './schema.ts'
import { nearest } from '../names.ts'
import { pathText, TEXT_DEPTH_MAX, type LaunchIssue, type LaunchSource, type Path } from './yaml-lines.ts'

/** Collects issues; positions come from the source where there is one. */
export interface IssueList {
  readonly issues: LaunchIssue[]
  /**
   * @param at  the key to point at when it is not the last of `path` (an unknown key is told by its parent)
   */
  add(path: Path, message: string, near?: string | null, at?: Path): void
}

/** More would only make the answer too large for the bus. */
const ISSUES_MAX = 50

export function issueList(source?: LaunchSource): IssueList {
  const issues: LaunchIssue[] = []
  return {
    issues,
    add(path, message, near = null, at = path) {
      if (issues.length >= ISSUES_MAX) return
      const position = source?.at(at) ?? null
      issues.push({
        path: shortened(pathText(path)),
        ...(position !== null && position),
        message: shortened(message),
        ...(near !== null && { near }),
      })
    },
  }
}

const TEXT_MAX = 1000
/** A fault is kept with its key, and told in an event: a name of megabytes is not. */
function shortened(text: string): string {
  return text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX - 1)}…` : text
}

export function quoted(value: unknown): string {
  const text = typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? String(value))
  return text.length > 80 ? `${text.slice(0, 77)}…` : text
}

/** Nested deeper than a document may be, or with a key that no object of JavaScript can hold as its own. */
export function walkDocument(value: unknown, list: IssueList, path: Path = []): void {
  if (typeof value !== 'object' || value === null) return
  if (path.length > TEXT_DEPTH_MAX) return list.add(path.slice(0, 4), `nested deeper than ${TEXT_DEPTH_MAX}`)
  if (Array.isArray(value)) return value.forEach((child, i) => walkDocument(child, list, [...path, i]))
  for (const [key, child] of Object.entries(value)) {
    if (key === '__proto__') list.add(path, "unknown key '__proto__'", null, [...path, key])
    else walkDocument(child, list, [...path, key])
  }
}

type ZodIssue = z.core.$ZodIssue

const TYPE_WORDS: Record<string, string> = {
  record: 'mapping',
  object: 'mapping',
  array: 'list',
  tuple: 'list',
  int: 'whole number',
  number: 'number',
  string: 'text',
  boolean: 'true or false',
}

export function addFormIssues(issues: readonly ZodIssue[], list: IssueList, base: Path = []): void {
  for (const issue of issues) addFormIssue(issue, list, [...base, ...(issue.path as Path)])
}

function addFormIssue(issue: ZodIssue, list: IssueList, path: Path): void {
  switch (issue.code) {
    case 'unrecognized_keys':
      // the schema's message is the list of its keys
      for (const key of issue.keys.slice(0, ISSUES_MAX)) {
        if (LATER.has(key)) list.add(path, `not in this version: ${key}`, null, [...path, key])
        else
          list.add(path, `unknown key ${quoted(key)}`, nearest(key.slice(0, 80), issue.message.split(' ')), [
            ...path,
            key,
          ])
      }
      return
    case 'invalid_value':
      return addWrongWord(issue, list, path)
    case 'invalid_union':
      return addUnion(issue, list, path)
    case 'invalid_key':
      return list.add(path.slice(0, -1), issue.issues[0]?.message ?? issue.message, null, path)
    case 'invalid_type':
      if (issue.input === undefined && path.length > 0)
        return list.add(path.slice(0, -1), `the key '${String(path.at(-1))}' is missing`)
      return list.add(path, `${quoted(issue.input)} is no ${TYPE_WORDS[issue.expected] ?? issue.expected}`)
    case 'too_small':
      if (isOwn(issue)) return list.add(path, issue.message)
      if (issue.origin === 'string') return list.add(path, 'an empty text')
      if (issue.origin === 'array') return list.add(path, `needs at least ${issue.minimum}`)
      return list.add(path, `${quoted(issue.input)} is too small; at least ${issue.minimum}`)
    case 'too_big':
      if (isOwn(issue)) return list.add(path, issue.message)
      if (issue.origin === 'string') return list.add(path, `longer than ${issue.maximum} characters`)
      if (issue.origin === 'array') return list.add(path, `more than ${issue.maximum}`)
      return list.add(path, `${quoted(issue.input)} is too large; at most ${issue.maximum}`)
    default:
      return list.add(path, issue.message)
  }
}

/** The schema's own words, rather than those of zod. */
function isOwn({ message }: ZodIssue): boolean {
  return !/^Too (small|big):/.test(message)
}

function addWrongWord(
  issue: Extract<ZodIssue, { code: 'invalid_value' }>,
  list: IssueList,
  path: Path,
): void {
  if (path[0] === 'apiVersion') return list.add(path, issue.message)
  const word = String(issue.input)
  if (issue.input === undefined)
    return list.add(path.slice(0, -1), `the key '${String(path.at(-1))}' is missing`)
  if (LATER.has(word)) return list.add(path, `not in this version: ${word}`)
  list.add(
    path,
    `${quoted(issue.input)} is none of ${issue.values.join(', ')}`,
    nearest(word.slice(0, 80), issue.values.map(String)),
  )
}

/** The branch whose type fits says what is wrong; when none fits, all of them are named. */
function addUnion(issue: Extract<ZodIssue, { code: 'invalid_union' }>, list: IssueList, path: Path): void {
  if (issue.input === undefined)
    return list.add(path.slice(0, -1), `the key '${String(path.at(-1))}' is missing`)
  const fits = issue.errors.find(
    (branch) =>
      !branch.some(
        (inner) =>
          inner.path.length === 0 && (inner.code === 'invalid_type' || inner.code === 'invalid_union'),
      ) && !wrongWordOfOtherType(branch),
  )
  if (fits) return addFormIssues(fits, list, path)
  const words = [...new Set(issue.errors.flat().flatMap(wordsOf))]
  list.add(path, `${quoted(issue.input)} is no ${words.length > 0 ? words.join(' or ') : 'valid value'}`)
}

/** `{…}` or 3 where an enum's word was one of two forms. */
function wrongWordOfOtherType(branch: readonly ZodIssue[]): boolean {
  return branch.some(
    (inner) => inner.code === 'invalid_value' && inner.path.length === 0 && typeof inner.input !== 'string',
  )
}

function wordsOf(issue: ZodIssue): string[] {
  if (issue.path.length > 0) return []
  if (issue.code === 'invalid_type') return [TYPE_WORDS[issue.expected] ?? issue.expected]
  if (issue.code === 'invalid_value') return [issue.values.join(', ')]
  return issue.code === 'invalid_union' ? issue.errors.flat().flatMap(wordsOf) : []
}
