/**
 * The repository's own source, parsed once, for the tests of the house. Owns reading and parsing; which rule
 * holds is in rules.ts and module-graph.ts.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import ts from 'typescript'

const ROOT = resolve(import.meta.dirname, '../../..')
const FOLDERS = ['src', 'tests', 'bench', 'scripts']
const PARSED = /\.(?:m?ts|mjs)$/
const READ = /\.(?:m?ts|mjs|py|c)$/

export interface SourceFile {
  /** below the root: `src/cli/main.ts` */
  path: string
  lines: string[]
  /** null for what is not TypeScript or JavaScript */
  tree: ts.SourceFile | null
}

export function readSource(): SourceFile[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => READ.test(file))
      .map((file) => parse(`${folder}/${file}`, readFileSync(join(ROOT, folder, file), 'utf8'))),
  )
}

export function parse(path: string, text: string): SourceFile {
  const tree = PARSED.test(path) ? ts.createSourceFile(path, text, ts.ScriptTarget.ES2023, true) : null
  return { path, lines: text.replace(/\n$/, '').split('\n'), tree }
}

export function dependencies(): string[] {
  const { dependencies: named } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    dependencies: Record<string, string>
  }
  return Object.keys(named)
}

export function walk(node: ts.Node, visit: (node: ts.Node) => void): void {
  visit(node)
  ts.forEachChild(node, (child) => walk(child, visit))
}

export function lineOf(tree: ts.SourceFile, position: number): number {
  return tree.getLineAndCharacterOfPosition(position).line
}
