import { readFile, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { build } from 'esbuild'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isFault, type Fault } from '../../../src/protocol/faults.ts'
import { readStat, isDead } from '../../../src/system/proc.ts'
import { endTree, runProgram, type RunOptions } from '../../../src/system/run.ts'
import { until } from '../../support/test-server.ts'

const root = resolve(import.meta.dirname, '../../..')
let dir: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-run-'))
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const BOUND_MS = 20_000

async function fails(argv: string[], options: Partial<RunOptions> = {}): Promise<Fault> {
  const error = await runProgram(argv, { timeoutMs: BOUND_MS, ...options }).then(
    () => null,
    (thrown: unknown) => thrown,
  )
  if (!isFault(error)) throw new Error(`no fault: ${String(error)}`)
  return error
}

function isGone(pid: number): boolean {
  const stat = readStat(pid)
  return stat === null || isDead(stat)
}

/** Pids that a shell wrote, one a line; waits until there are `count`. */
async function pidsIn(file: string, count: number): Promise<number[]> {
  let pids: number[] = []
  await until(`${count} pids are written`, async () => {
    pids = (await readFile(file, 'utf8').catch(() => '')).split('\n').filter(Boolean).map(Number)
    return pids.length === count
  })
  return pids
}

/** One child in the group, one in a session of its own; the program waits for both. */
function familyIn(file: string): string[] {
  return [
    'sh',
    '-c',
    `sleep 300 & echo $! >> ${file}; setsid sleep 300 & echo $! >> ${file}; echo $$ >> ${file}; wait`,
  ]
}

test('a program that ends well: its output, its environment and nothing else of ours, its input', async () => {
  const { stdout, stderr } = await runProgram(['sh', '-c', 'cat; echo "$A-$HOME"; echo trouble >&2'], {
    timeoutMs: BOUND_MS,
    env: { PATH: process.env['PATH'], A: 'a value' },
    input: 'given\n',
  })
  expect({ stdout, stderr }).toEqual({ stdout: 'given\na value-\n', stderr: 'trouble\n' })
})

test('a program that fails: the fault has its exit code and its last lines', async () => {
  const fault = await fails(['sh', '-c', 'seq 1 30 >&2; exit 7'])
  expect(fault).toMatchObject({ code: 'FAILED', message: `'sh' ended with exit code 7: 30` })
  expect(fault.data).toMatchObject({ program: 'sh', reason: 'exit', exit: 7, signal: null })
  expect(fault.data['lastLines']).toEqual(Array.from({ length: 10 }, (_, i) => String(21 + i)))
})

test('a program that dies by a signal: the fault names the signal', async () => {
  expect((await fails(['sh', '-c', 'kill -SEGV $$'])).data).toMatchObject({
    reason: 'signal',
    exit: null,
    signal: 'SIGSEGV',
  })
})

test('a program that is not there, and one that may not be run, are faults that say so', async () => {
  const absent = await fails(['no-such-program-here'])
  expect(absent.data).toMatchObject({ program: 'no-such-program-here', reason: 'not-started', exit: null })
  expect(absent.message).toContain('ENOENT')
  expect((await fails(['/etc/passwd'])).message).toContain('EACCES')
})

test('a program that hangs is killed at its limit, with a child in its group and one in its own', async () => {
  const file = join(dir, 'hanging')
  const began = performance.now()
  const fault = await fails(familyIn(file), { timeoutMs: 1500 })
  expect(performance.now() - began).toBeLessThan(BOUND_MS)
  expect(fault.data).toMatchObject({ reason: 'timeout' })
  expect(fault.message).toBe(`'sh' did not end within 1500 ms and was killed`)
  for (const pid of await pidsIn(file, 3)) await until(`${pid} is gone`, () => isGone(pid))
})

test('a program that has ended but left a child with its stdout: the call ends at its limit, the child too', async () => {
  const file = join(dir, 'left')
  const fault = await fails(['sh', '-c', `sleep 300 & echo $! >> ${file}; echo said`], { timeoutMs: 1500 })
  expect(fault.data).toMatchObject({ reason: 'timeout' })
  for (const pid of await pidsIn(file, 1)) await until(`${pid} is gone`, () => isGone(pid))
})

test('a call that is aborted ends the program and its children; one that was aborted before starts nothing', async () => {
  const file = join(dir, 'aborted')
  const abort = new AbortController()
  const failing = fails(familyIn(file), { signal: abort.signal })
  const pids = await pidsIn(file, 3)
  abort.abort()
  expect((await failing).data).toMatchObject({ reason: 'aborted' })
  for (const pid of pids) await until(`${pid} is gone`, () => isGone(pid))

  const never = join(dir, 'never')
  expect((await fails(familyIn(never), { signal: abort.signal })).message).toContain('was not started')
  await expect(readFile(never)).rejects.toThrow('ENOENT')
})

test('a program that writes for ever is ended at the bound, and the fault says that output is cut', async () => {
  const fault = await fails(['sh', '-c', 'while :; do echo 0123456789; done'], { outputBytesMax: 1000 })
  expect(fault.data).toMatchObject({ reason: 'output' })
  expect(fault.message).toBe(`'sh' wrote more than 1000 bytes and was ended; the rest is cut`)
  expect(String(fault.data['lastLines']).length).toBeLessThanOrEqual(1000)
})

test('where there is no /proc the tree is found by the parents that ps knows', async () => {
  const file = join(dir, 'by-ps')
  const failing = fails(familyIn(file))
  const pids = await pidsIn(file, 3)
  endTree(pids.at(-1)!, false)
  expect((await failing).data).toMatchObject({ reason: 'signal', signal: 'SIGKILL' })
  for (const pid of pids) await until(`${pid} is gone`, () => isGone(pid))
})

test('a process that ends while a program of it runs takes the program along', async () => {
  const file = join(dir, 'ending')
  const program = join(dir, 'ending.mjs')
  await build({
    stdin: {
      contents: `
        import { readFileSync } from 'node:fs'
        import { runProgram } from './src/system/run.ts'
        void runProgram(['sh', '-c', 'echo $$ > ${file}; exec sleep 300'], { timeoutMs: 300_000 })
        setInterval(() => {
          try {
            if (readFileSync('${file}', 'utf8').endsWith('\\n')) process.exit(0)
          } catch {}
        }, 5)`,
      resolveDir: root,
      loader: 'ts',
    },
    bundle: true,
    platform: 'node',
    format: 'esm',
    banner: {
      js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);",
    },
    outfile: program,
  })
  await runProgram([process.execPath, program], { timeoutMs: BOUND_MS })
  for (const pid of await pidsIn(file, 1)) await until(`${pid} is gone`, () => isGone(pid))
})
