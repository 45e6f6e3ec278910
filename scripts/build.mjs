// Bundle the command line, the library and the agent each into one file, and the types beside them.
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
  format: 'esm',
  target: 'node20.19',
  define: { __TROUPE_VERSION__: JSON.stringify(version) },
  // some dependencies are CommonJS and ask for node's own modules by require
  banner: { js: "import { createRequire as __createRequire } from 'node:module'; const require = __createRequire(import.meta.url);" },
  legalComments: 'none',
  minifySyntax: true,
  minifyWhitespace: true,
  sourcemap: 'linked',
  logLevel: 'warning',
}

const types = async () => {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  await promisify(execFile)(process.execPath, [tsc, '-p', join(root, 'tsconfig.types.json')], { cwd: root }).catch((error) => {
    process.stderr.write(error.stdout || error.message)
    throw new Error('the types do not build', { cause: error })
  })
}

const started = performance.now()
await mkdir(dist, { recursive: true })
await Promise.all([
  build({ ...common, entryPoints: { troupe: 'src/cli/main.ts' }, outdir: dist, outExtension: { '.js': '.mjs' } }),
  build({ ...common, entryPoints: { index: 'src/index.ts' }, outdir: dist, outExtension: { '.js': '.mjs' } }),
  rm(join(dist, 'shim'), { recursive: true, force: true }).then(() => cp(join(root, 'src/process/shim'), join(dist, 'shim'), { recursive: true, filter: (file) => !file.endsWith('.ts') })),
  process.argv.includes('--no-types') ? null : types(),
])
await chmod(join(root, 'bin/troupe'), 0o755)
await writeFile(join(dist, 'built.json'), `${JSON.stringify({ version, at: new Date().toISOString() })}\n`)
process.stderr.write(`built in ${((performance.now() - started) / 1000).toFixed(1)} s\n`)
