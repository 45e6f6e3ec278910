import { readFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'
import ts from 'typescript'
import { expect, test } from 'vitest'

const root = resolve(import.meta.dirname, '../../..')
/** The two switches over verbs. */
const SERVERS = ['src/core/coordinator/requests.ts', 'src/core/agent/obey-orders.ts']

/** Compile the servers as if each of these files had another text; nothing is written. */
function errorsWith(edits: Record<string, (text: string) => string>): string[] {
  const { options } = ts.parseJsonConfigFileContent(
    ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile).config,
    ts.sys,
    root,
  )
  const host = ts.createCompilerHost(options, true)
  const read = host.readFile.bind(host)
  host.readFile = (file) => {
    const text = read(file)
    const edit = edits[relative(root, file)]
    return text === undefined || edit === undefined ? text : edit(text)
  }
  host.getSourceFile = (file, version) => {
    const text = host.readFile(file)
    return text === undefined ? undefined : ts.createSourceFile(file, text, version, true)
  }
  const program = ts.createProgram(
    SERVERS.map((file) => join(root, file)),
    options,
    host,
  )
  return SERVERS.flatMap((file) =>
    program
      .getSemanticDiagnostics(program.getSourceFile(join(root, file)))
      .map((problem) => `${file}: ${ts.flattenDiagnosticMessageText(problem.messageText, '\n')}`),
  )
}

/** Add a request behind the last row of a family. */
function withRow(name: string, base: string, place: string): (text: string) => string {
  const [family, verb] = name.split('.')
  const row = `${base}, subject: '${family}.${place}.${verb}', body: Empty, reply: Empty, errors: [], doc: ''`
  return (text) =>
    text.replace(/\n\} as const satisfies Record<string, Row>/, `\n'${name}': row({ ${row} }),$&`)
}

test('a row that nobody serves does not compile: the switch that lacks it is named, with the verb', () => {
  const table = 'src/protocol/table'
  expect(readFileSync(join(root, table, 'node.ts'), 'utf8')).toContain(
    'as const satisfies Record<string, Row>',
  )
  const errors = errorsWith({
    [`${table}/coordinator.ts`]: withRow('coordinator.fork', '...ask', '{user}'),
    [`${table}/node.ts`]: withRow('node.drain', '...order', '{node}.{incarnation}'),
  })
  const named = errors.map((text) => /^(\S+):.*"(fork|drain)"/s.exec(text)?.slice(1).join(' lacks ') ?? text)
  expect([...new Set(named)]).toEqual([`${SERVERS[0]} lacks fork`, `${SERVERS[1]} lacks drain`])
}, 120_000)
