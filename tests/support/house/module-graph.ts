/**
 * The rules of form that show only over all files: circles of imports, exports that nobody imports, packages
 * with more than one importer. Types count like values, and imports in the middle of a file like those on
 * top.
 */
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { walk, type SourceFile } from './source-files.ts'

interface Import {
  /** a file below the root, or a package */
  target: string
  /** null: the whole module */
  names: string[] | null
}

export function circles(files: readonly SourceFile[]): string[] {
  const imports = new Map(
    files
      .filter(({ path }) => path.startsWith('src/'))
      .map((file) => [file.path, importsOf(file).map(({ target }) => target)]),
  )
  const reached = new Map([...imports.keys()].map((path) => [path, reachable(imports, path)]))
  const found = [...imports.keys()]
    .filter((path) => reached.get(path)!.has(path))
    .map((path) => [...reached.get(path)!].filter((other) => reached.get(other)?.has(path)).toSorted())
  return [...new Set(found.map((members) => `circle ${members.join(' ')}`))]
}

function reachable(imports: ReadonlyMap<string, string[]>, from: string): Set<string> {
  const seen = new Set<string>()
  const left = [...imports.get(from)!]
  for (let at = left.pop(); at !== undefined; at = left.pop())
    if (!seen.has(at)) {
      seen.add(at)
      left.push(...(imports.get(at) ?? []))
    }
  return seen
}

/**
 * Exports of src that no other file imports (`unused`), or only files outside of src (`tests-only`). A type
 * that its own file uses counts as used: it is part of what that file exports.
 */
export function unusedExports(files: readonly SourceFile[]): string[] {
  const users = new Map<string, Set<string>>()
  for (const file of files)
    for (const { target, names } of importsOf(file))
      for (const name of names ?? ['*']) {
        const key = `${target} ${name}`
        users.set(key, (users.get(key) ?? new Set()).add(file.path))
      }
  return files
    .filter(({ path }) => path.startsWith('src/') && path !== 'src/index.ts')
    .flatMap((file) =>
      exportsOf(file)
        .filter(({ usedInside }) => !usedInside)
        .flatMap(({ name }) => {
          const by = [`${file.path} ${name}`, `${file.path} *`].flatMap((key) => [...(users.get(key) ?? [])])
          if (by.length === 0) return [`unused ${file.path} ${name}`]
          return by.some((user) => user.startsWith('src/')) ? [] : [`outside ${file.path} ${name}`]
        }),
    )
}

/** Packages that more than one file of src imports. */
export function sharedPackages(files: readonly SourceFile[], packages: readonly string[]): string[] {
  return packages
    .filter(
      (name) =>
        files.filter(
          (file) =>
            file.path.startsWith('src/') && importsOf(file).some(({ target }) => packageOf(target) === name),
        ).length > 1,
    )
    .map((name) => `package ${name}`)
}

function packageOf(target: string): string {
  return target
    .split('/')
    .slice(0, target.startsWith('@') ? 2 : 1)
    .join('/')
}

function importsOf({ path, tree }: SourceFile): Import[] {
  const found: Import[] = []
  if (tree === null) return found
  const add = (specifier: ts.Node | undefined, names: string[] | null): void => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return
    const { text } = specifier
    found.push({ target: text.startsWith('.') ? join(dirname(path), text) : text, names })
  }
  walk(tree, (node) => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, namesOf(node.importClause?.namedBindings))
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, namesOf(node.exportClause))
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument))
      add(
        node.argument.literal,
        node.qualifier === undefined ? null : [node.qualifier.getText().split('.')[0]!],
      )
    else if (ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword)
      add(node.arguments[0], namesOfLoaded(node))
  })
  return found
}

function namesOf(bindings: ts.NamedImportBindings | ts.NamedExportBindings | undefined): string[] | null {
  if (bindings === undefined || !(ts.isNamedImports(bindings) || ts.isNamedExports(bindings))) return null
  return bindings.elements.map(({ propertyName, name }) => (propertyName ?? name).text)
}

/** `const { a } = await import(…)` uses `a`; everything else may use all. */
function namesOfLoaded(call: ts.CallExpression): string[] | null {
  const statement = ts.isAwaitExpression(call.parent) ? call.parent.parent : call.parent
  if (!ts.isVariableDeclaration(statement) || !ts.isObjectBindingPattern(statement.name)) return null
  return statement.name.elements.map(({ propertyName, name }) => (propertyName ?? name).getText())
}

function exportsOf({ tree }: SourceFile): { name: string; usedInside: boolean }[] {
  const found: { name: string; usedInside: boolean }[] = []
  for (const statement of tree?.statements ?? []) {
    if (!ts.canHaveModifiers(statement)) continue
    if (!ts.getModifiers(statement)?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword)) continue
    if (ts.isVariableStatement(statement))
      for (const { name } of statement.declarationList.declarations)
        found.push({ name: name.getText(), usedInside: false })
    else if (ts.isFunctionDeclaration(statement) || ts.isClassDeclaration(statement))
      found.push({ name: statement.name!.text, usedInside: false })
    else if (ts.isInterfaceDeclaration(statement) || ts.isTypeAliasDeclaration(statement))
      found.push({ name: statement.name.text, usedInside: mentions(tree!, statement.name) })
  }
  return found
}

function mentions(tree: ts.SourceFile, declared: ts.Identifier): boolean {
  let seen = false
  walk(tree, (node) => {
    if (ts.isIdentifier(node) && node !== declared && node.text === declared.text) seen = true
  })
  return seen
}
