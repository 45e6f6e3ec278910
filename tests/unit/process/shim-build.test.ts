import { chmodSync, readdirSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { buildShim } from '../../../src/process/shim/build.ts'
import { PYTHON, removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

let cache: string
let bin: string
beforeEach(() => {
  cache = temporaryDirectory()
  bin = temporaryDirectory()
})
afterEach(() => {
  removeDirectory(cache)
  removeDirectory(bin)
})
function program(name: string, script: string): void {
  writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
  chmodSync(join(bin, name), 0o755)
}

test('built once, found by its content the next time, without a compiler then', async () => {
  const built = await buildShim(cache)
  expect(built.kind).toBe('c')
  expect(await buildShim(cache, { PATH: bin })).toEqual(built)
  expect(readdirSync(cache)).toEqual([built.argv[0]!.split('/').at(-1)])
})

test('no compiler: the Python twin, by the interpreter itself and not a wrapper', async () => {
  program('python3', `exec ${PYTHON} "$@"`)
  const shim = await buildShim(cache, { PATH: bin })
  expect(shim).toMatchObject({
    kind: 'python',
    argv: [PYTHON, '-ISs', expect.stringMatching(/shim-[0-9a-f]+\.py$/)],
  })
})

test('a compiler that fails, or whose programs do not run: the Python twin, and nothing half made', async () => {
  program('python3', `exec ${PYTHON} "$@"`)
  program('gcc', 'exit 1')
  program(
    'cc',
    'while [ $# -gt 0 ]; do [ "$1" = -o ] && { printf "garbage" > "$2"; chmod +x "$2" 2>/dev/null || /bin/chmod +x "$2"; }; shift; done',
  )
  expect((await buildShim(cache, { PATH: bin })).kind).toBe('python')
  expect(readdirSync(cache)).toHaveLength(1)
})

test('a compiler that hangs: it is ended after the limit for all, and the Python twin is taken', async () => {
  program('python3', `exec ${PYTHON} "$@"`)
  for (const compiler of ['cc', 'gcc', 'clang']) program(compiler, 'exec /bin/sleep 300')
  const began = performance.now()
  expect((await buildShim(cache, { PATH: bin }, 500)).kind).toBe('python')
  expect(performance.now() - began).toBeLessThan(20_000)
  expect(readdirSync(cache)).toHaveLength(1)
})

test('neither compiler nor Python: said so', async () => {
  await expect(buildShim(cache, { PATH: bin })).rejects.toMatchObject({
    code: 'SETUP',
    hint: expect.any(String),
  })
})

test('nobody else may write the shim or its cache, whatever the umask', async () => {
  const before = process.umask(0)
  try {
    const made = join(cache, 'made')
    const [compiled, python] = [await buildShim(made), await buildShim(made, { PATH: '/nowhere' })]
    expect(python).toEqual(compiled)
    const mode = (path: string): number => statSync(path).mode & 0o777
    expect([mode(made), mode(compiled.argv[0]!)]).toEqual([0o700, 0o700])
  } finally {
    process.umask(before)
  }
})
