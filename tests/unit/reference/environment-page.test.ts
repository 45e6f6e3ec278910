/** The page of environment variables names each that the code sets or reads. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { buildEnvironment } from '../../../src/process/environment.ts'
import { MARKER } from '../../../src/process/exec-plan.ts'
import { environmentPage } from '../../../src/reference/environment-page.ts'
import { bindingsOf, forkSpec, preparedFork } from '../../support/fork-spec.ts'

const root = fileURLToPath(new URL('../../../', import.meta.url))
const page = environmentPage()

/** A name that stands on the page, alone or as the beginning of one that is filled in. */
function isThere(name: string): boolean {
  return new RegExp(`\`${name.replace(/(_|ROLE)$/, '$1[A-Z0-9]*')}\``).test(page)
}

test('a worker has no variable from us that the page lacks', () => {
  const torchrun = { nnodes: '1', nodeRank: 0, nproc: 2, hostsRendezvous: true }
  const environment = buildEnvironment({
    spec: forkSpec({ kind: 'torchrun', torchrun, venv: '/venv', pathPrepend: ['/x'] }),
    prepared: preparedFork({ ports: [1], gpus: ['0'] }),
    bindings: bindingsOf({ roles: { role: { addr: 'a:1', addrs: ['a:1'] } } }),
    node: 'n0',
    agentEnv: {},
    cacheDir: '/cache',
    nodeCores: 4,
    workersOnNode: 1,
    errorFile: '/error.json',
  })
  const names = [...Object.keys(environment), MARKER]
  expect(names.length).toBeGreaterThan(25)
  expect(names.filter((name) => !isThere(name))).toEqual([])
})

/** How code names a variable: `env.X`, `env['X']`, `given(env, 'X')`, `getenv("X")`, or by our own prefix. */
const READS = new RegExp(
  [
    String.raw`\b\w*[eE]nv(?:ironment)?\??\.([A-Z][A-Z0-9_]{2,})\b`,
    String.raw`\b\w*[eE]nv\[['"](\w+)['"]\]`,
    String.raw`\b(?:given|xdg)\(env, '(\w+)'`,
    String.raw`\b(?:getenv|variable)\("(\w+)"`,
    String.raw`(?<![\w$])(TROUPE_[A-Z][A-Z_]*)(?!\w)`,
  ].join('|'),
  'g',
)
/** Names of the same form that are no variables. */
const OTHERS = ['TROUPE_AGENTS', 'TROUPE_PEOPLE', 'TROUPE_WORKERS', 'TROUPE_FAILED', 'TROUPE_VERSION__']

function variablesOf(file: string): string[] {
  // comments may show any
  const code = readFileSync(join(root, file), 'utf8').replaceAll(/\/\*[\s\S]*?\*\/|^\s*(\/\/|#).*$/gm, '')
  return [...code.matchAll(READS)].map((match) => match.slice(1).find((name) => name !== undefined)!)
}

test('no file of Troupe reads a variable that the page lacks', () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => /\.(ts|c|py)$/.test(file) && !file.startsWith('reference/'))
    .map((file) => join('src', file))
  const found = [...files, 'bin/troupe'].flatMap((file) =>
    variablesOf(file)
      .filter((name) => !OTHERS.includes(name))
      .map((name) => ({ file, name })),
  )
  expect(new Set(found.map(({ name }) => name)).size).toBeGreaterThan(25)
  expect(found.filter(({ name }) => !isThere(name))).toEqual([])
})
