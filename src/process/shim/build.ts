/**
 * Finds or builds the shim: with a C compiler into a cache by content, else the Python twin. Owns the choice
 * and the cache's names; what a shim does stands in shim.c and shim.py.
 */
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { chmod, copyFile, mkdir, rename, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Fault, isFault } from '../../protocol/faults.ts'
import { runProgram } from '../../system/run.ts'

export interface Shim {
  /** argv prefix: a fork's directory follows, or `--rank`, that directory and a command */
  argv: string[]
  kind: 'c' | 'python'
}

/**
 * All tries to compile together. A compiler on a network disk that hangs must not keep the agent from its
 * start.
 */
const COMPILE_MS = 30_000
/** A program that only says something about itself. */
const ASK_MS = 10_000

/** In a checkout the sources stand beside this file, in the bundle in a folder of their own. */
function sourceOf(name: string): string {
  const places = [`./${name}`, `./shim/${name}`].map((place) =>
    fileURLToPath(new URL(place, import.meta.url)),
  )
  const found = places.find((place) => existsSync(place))
  if (found === undefined) throw new Fault('SETUP', `${name} is not there: looked at ${places.join(' and ')}`)
  return found
}

/** All files of which a shim can be made. */
export function shimSources(): string[] {
  return ['shim.c', 'shim.py'].map(sourceOf)
}

/**
 * @param cacheDir  where the built shim is kept and found again, by the hash of its source
 * @param env       PATH says where `cc` (or CC) and python3 are
 * @param compileMs  how long compilers are tried together, before the Python twin is taken
 * @throws {Fault} SETUP when there is neither a compiler nor a Python
 */
export async function buildShim(
  cacheDir: string,
  env: Record<string, string | undefined> = process.env,
  compileMs = COMPILE_MS,
): Promise<Shim> {
  const source = sourceOf('shim.c')
  const name = `shim-${process.arch}-${hashOf(source)}`
  // a bundle brings it
  const brought = join(dirname(source), name)
  if (existsSync(brought)) return { argv: [brought], kind: 'c' }
  await mkdir(cacheDir, { recursive: true, mode: 0o700 })
  const compiled = join(cacheDir, name)
  if (existsSync(compiled) || (await compile(compiled, env, compileMs)))
    return { argv: [compiled], kind: 'c' }
  const python = await findPython(env)
  if (python === null)
    throw new Fault('SETUP', 'there is neither a C compiler nor a python3 on PATH for the process shim', {
      hint: 'install gcc or python3',
    })
  return { argv: await pythonShim(cacheDir, python), kind: 'python' }
}

/** The argv of the Python twin, copied into the cache: the checkout may go away while workers run. */
export async function pythonShim(cacheDir: string, python: string): Promise<string[]> {
  const source = sourceOf('shim.py')
  const copy = join(cacheDir, `shim-${hashOf(source)}.py`)
  if (!existsSync(copy)) await inPlace(copy, (temporary) => copyFile(source, temporary))
  // isolated, without site-packages: nothing of the user's may run in a shim, and it starts in half the time
  return [python, '-ISs', copy]
}

function hashOf(file: string): string {
  return createHash('sha256').update(readFileSync(file)).digest('hex').slice(0, 16)
}

async function inPlace(file: string, make: (temporary: string) => Promise<unknown>): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`
  try {
    await make(temporary)
    await chmod(temporary, 0o700) // whatever the umask
    await rename(temporary, file)
  } finally {
    await rm(temporary, { force: true })
  }
}

/** Static where that works: it starts faster and runs on nodes with another libc. */
async function compile(
  file: string,
  env: Record<string, string | undefined>,
  compileMs: number,
): Promise<boolean> {
  const signal = AbortSignal.timeout(compileMs)
  for (const compiler of env['CC'] ? [env['CC']] : ['cc', 'gcc', 'clang'])
    for (const linking of [['-static'], []])
      try {
        await inPlace(file, async (temporary) => {
          const argv = [compiler, '-O2', ...linking, '-o', temporary, sourceOf('shim.c')]
          await runProgram(argv, { env, timeoutMs: compileMs, signal })
          // a compiler that makes programs which do not run here is none
          const exit = await runProgram([temporary], { timeoutMs: ASK_MS }).then(
            () => 0,
            (error: unknown) => (isFault(error) ? error.data['exit'] : null),
          )
          if (exit !== 2) throw new Error(`the shim that ${compiler} built does not run`)
        })
        return true
      } catch {
        // the next way
      }
  return false
}

/**
 * The interpreter itself: a wrapper on PATH (pyenv) would cost a shell each start and needs an environment.
 */
async function findPython(env: Record<string, string | undefined>): Promise<string | null> {
  try {
    const argv = ['python3', '-ISsc', 'import sys, ctypes; print(sys.executable)']
    const { stdout } = await runProgram(argv, { env, timeoutMs: ASK_MS })
    return stdout.trim()
  } catch {
    return null
  }
}
