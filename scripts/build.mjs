// Bundle the command line (agent and coordinator are verbs of it) and the library each into one file, and the
// types beside them.
// One file each, because a thousand nodes that read node_modules from a shared disk are an outage.
import { build } from 'esbuild'
import { execFile } from 'node:child_process'
import { chmod, cp, mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import { join, dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const dist = join(root, 'dist')
const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8'))

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node20.19',
  define: { __TROUPE_VERSION__: JSON.stringify(version) },
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  logLevel: 'warning',
}

async function types() {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [tsc, '-p', join(root, 'tsconfig.types.json')], {
    cwd: root,
  }).catch((error) => {
    process.stderr.write(error.stdout || error.message)
    throw new Error('the types do not build', { cause: error })
  })
}

/**
 * V8's code cache of what a start runs: made by a start that reads a context and then fails for want of one.
 */
async function codeCache() {
  const cache = join(dist, `troupe-${process.version}.cache`)
  await rm(cache, { force: true })
  const env = { ...process.env, TROUPE_MAKE_CODE_CACHE: cache, TROUPE_HOME: join(dist, 'no-home') }
  await promisify(execFile)(process.execPath, [join(root, 'bin/troupe'), 'ps'], { env }).catch((error) => {
    if (error.code !== 4) throw error
  })
}

const started = performance.now()
await mkdir(dist, { recursive: true })
await Promise.all([
  build({
    ...common,
    format: 'cjs',
    entryPoints: { troupe: 'src/cli/main.ts' },
    outdir: dist,
    outExtension: { '.js': '.cjs' },
    define: { ...common.define, 'import.meta.url': '__importMetaUrl' },
    banner: { js: "const __importMetaUrl = require('node:url').pathToFileURL(__filename).href;" },
  }),
  build({
    ...common,
    format: 'esm',
    // Node prints the line of an error that nobody caught: it is to be one that can be read
    minifyWhitespace: false,
    entryPoints: { index: 'src/index.ts' },
    outdir: dist,
    outExtension: { '.js': '.mjs' },
    // some dependencies are CommonJS and ask for node's own modules by require
    banner: {
      js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);",
    },
  }),
  rm(join(dist, 'shim'), { recursive: true, force: true }).then(() =>
    cp(join(root, 'src/process/shim'), join(dist, 'shim'), {
      recursive: true,
      filter: (file) => !file.endsWith('.ts'),
    }),
  ),
  process.argv.includes('--no-types') ? null : types(),
])
await codeCache()
await chmod(join(root, 'bin/troupe'), 0o755)
await writeFile(join(dist, 'built.json'), `${JSON.stringify({ version, at: new Date().toISOString() })}\n`)
process.stderr.write(`built in ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
