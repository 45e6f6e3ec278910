// `npm run bench`: set-up, then the measurements of bench/, bundled as the product is, so that what is
// measured is what is shipped.
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { endSteps, say, SetupError } from './setup/say.mjs'
import { root, setUp } from './setup/setup.mjs'

const INTERRUPTED = 130
let end = async () => endSteps()
let ending = false
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'])
  process.on(signal, () => {
    if (ending) return say('already ending: waiting until nothing is left')
    ending = true
    say('interrupted: ending what was started')
    void end().finally(() => {
      say('nothing is left running')
      process.exit(INTERRUPTED)
    })
  })

try {
  Object.assign(process.env, await setUp({ forTests: false }))
  const programs = await mkdtemp(join(tmpdir(), 'troupe-bench-'))
  const remove = () => rm(programs, { recursive: true, force: true })
  end = remove
  try {
    const { build } = await import('esbuild')
    await build({
      absWorkingDir: root,
      entryPoints: Object.fromEntries(
        ['main', 'echo-process', 'agents-process'].map((name) => [name, `bench/${name}.ts`]),
      ),
      outdir: programs,
      outExtension: { '.js': '.mjs' },
      bundle: true,
      platform: 'node',
      format: 'esm',
      target: 'node20.19',
      banner: {
        js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
      },
      sourcemap: 'inline',
      logLevel: 'warning',
    })
    const { bench } = await import(pathToFileURL(join(programs, 'main.mjs')))
    process.exitCode = await bench({
      root,
      programs,
      args: process.argv.slice(2),
      onInterrupt: (handler) => (end = () => handler().finally(remove)),
    })
  } finally {
    if (!ending) await remove()
  }
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exitCode = 1
}
