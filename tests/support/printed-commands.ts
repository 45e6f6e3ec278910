/**
 * The commands of ours that the program prints, found in its source. A command ends where its text ends, or
 * at `;`, `)`, a backquote or a new line: it can be typed as it is printed. What is put in is `…`.
 */
import ts from 'typescript'
import { readSource, walk } from './house/source-files.ts'

export interface Printed {
  file: string
  command: string
}

const COMMAND = /(?<![\w./'"-])(?:troupe|bin\/troupe|npm) (?:[a-z…]|--)[^;)`\n]*/g

function textOf(node: ts.Node): string | null {
  if (ts.isStringLiteralLike(node)) return node.text
  if (!ts.isTemplateExpression(node)) return null
  return node.head.text + node.templateSpans.map(({ literal }) => `…${literal.text}`).join('')
}

export function printedCommands(): Printed[] {
  const found: Printed[] = []
  for (const { path, tree } of readSource()) {
    if (
      tree === null ||
      !/^(src|scripts\/start)\//.test(path) ||
      /^src\/reference\/|reference\.ts$/.test(path)
    )
      continue
    walk(tree, (node) => {
      for (const [command] of textOf(node)?.matchAll(COMMAND) ?? [])
        found.push({ file: path, command: command.trim() })
    })
  }
  return found
}
