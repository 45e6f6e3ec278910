/**
 * The rules of form that one file can break by itself: width, length of files and functions, the first
 * comment, the form of functions. Each returns the names of what breaks it, as exceptions.ts writes them.
 */
import ts from 'typescript'
import { lineOf, walk, type SourceFile } from './source-files.ts'

const WIDTH_MAX = 110
/** A literal is not broken by the formatter: a sentence in one piece can be searched for. */
const LITERAL_WIDTH_MAX = 160
const FILE_LINES_MAX = 300
const FUNCTION_LINES_MAX = 70
/** A function that registers tests is a list of them. */
const REGISTERS = /^(?:describe|test|it|check)\b/

export function wideLines({ path, lines, tree }: SourceFile): string[] {
  const wide = lines.flatMap((line, at) => (line.length > WIDTH_MAX ? [at] : []))
  if (wide.length === 0) return []
  const literals = tree === null ? new Set<number>() : linesOfLiterals(tree)
  return wide.some((at) => lines[at]!.length > LITERAL_WIDTH_MAX || !literals.has(at)) ? [`wide ${path}`] : []
}

/** Lines that hold a string, a template or a regular expression. */
function linesOfLiterals(tree: ts.SourceFile): Set<number> {
  const found = new Set<number>()
  walk(tree, (node) => {
    if (
      ts.isStringLiteralLike(node) ||
      ts.isTemplateExpression(node) ||
      node.kind === ts.SyntaxKind.RegularExpressionLiteral
    )
      for (let at = lineOf(tree, node.getStart()); at <= lineOf(tree, node.end); at++) found.add(at)
  })
  return found
}

export function longFiles({ path, lines }: SourceFile): string[] {
  return lines.length > FILE_LINES_MAX ? [`long ${path}`] : []
}

export function longFunctions({ path, tree }: SourceFile): string[] {
  const found: string[] = []
  if (tree === null) return found
  walk(tree, (node) => {
    if (!ts.isFunctionLike(node) || !('body' in node) || node.body === undefined) return
    const lines = lineOf(tree, node.end) - lineOf(tree, node.getStart()) + 1
    if (lines > FUNCTION_LINES_MAX && !registersTests(node)) found.push(`long ${path} ${nameOf(node)}`)
  })
  return found
}

function registersTests(node: ts.Node): boolean {
  let registers = false
  walk(node, (inner) => {
    if (ts.isCallExpression(inner) && REGISTERS.test(inner.expression.getText())) registers = true
  })
  return registers
}

function nameOf(node: ts.SignatureDeclaration): string {
  if (node.name !== undefined) return node.name.getText()
  const { parent } = node
  if (ts.isVariableDeclaration(parent) || ts.isPropertyAssignment(parent)) return parent.name.getText()
  return ts.isCallExpression(parent) ? `${parent.expression.getText()}(…)` : 'nameless'
}

export function withoutFirstComment({ path, lines }: SourceFile): string[] {
  return !path.startsWith('src/') ||
    /^(?:\/\*|\/\/|""")/.test(lines.find((line) => !line.startsWith('#!')) ?? '')
    ? []
    : [`comment ${path}`]
}

/** A constant whose annotation gives a named signature stays: a declaration cannot take one. */
export function functionsInConstants({ path, tree }: SourceFile): string[] {
  return (tree?.statements ?? [])
    .flatMap((statement) =>
      ts.isVariableStatement(statement) && statement.declarationList.flags & ts.NodeFlags.Const
        ? [...statement.declarationList.declarations]
        : [],
    )
    .filter(
      ({ initializer, type }) =>
        type === undefined &&
        initializer !== undefined &&
        (ts.isArrowFunction(initializer) || ts.isFunctionExpression(initializer)),
    )
    .map(({ name }) => `constant ${path} ${name.getText()}`)
}
