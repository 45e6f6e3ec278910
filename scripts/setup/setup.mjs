// All set-up of a checkout, for `npm start` and `npm test`: node packages, the build, nats-server, Python
// with torch.
// Uses Node alone: on a fresh clone there is nothing else yet. A second time takes a second.
import { createHash } from 'node:crypto'
import { readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { cacheDir } from './cache.mjs'
import { natsServer } from './nats-server.mjs'
import { pythonWithTorch } from './python.mjs'
import { say, SetupError, step } from './say.mjs'
import { needSpace } from './space.mjs'

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

function text(file) {
  return readFile(file, 'utf8').catch(() => '')
}

/** node_modules as the lock file says; a killed `npm ci` leaves no stamp and is done again. */
async function packages() {
  const lock = createHash('sha256')
    .update(await text(join(root, 'package-lock.json')))
    .update(process.version)
    .digest('hex')
  const stamp = join(root, 'node_modules/.troupe-lock')
  if ((await text(stamp)) === lock) return
  await needSpace(root, 0.6e9, 'node packages')
  await step('installing node packages', ['npm', 'ci', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: root,
  })
  await writeFile(stamp, lock)
}

async function newest(dir) {
  let latest = 0
  for (const entry of await readdir(dir, { withFileTypes: true, recursive: true }))
    if (entry.isFile())
      latest = Math.max(latest, (await stat(join(entry.parentPath ?? entry.path, entry.name))).mtimeMs)
  return latest
}

async function build() {
  const built = await stat(join(root, 'dist/built.json')).then(
    (s) => s.mtimeMs,
    () => 0,
  )
  const inputs = [
    await newest(join(root, 'src')),
    ...(await Promise.all(
      ['package.json', 'package-lock.json', 'scripts/build.mjs', 'tsconfig.json'].map(
        async (file) => (await stat(join(root, file))).mtimeMs,
      ),
    )),
  ]
  if (built > Math.max(...inputs)) return
  await step('building', [process.execPath, join(root, 'scripts/build.mjs')], { cwd: root })
}

/**
 * @param {{ forTests: boolean }} options
 * @returns {Promise<Record<string, string>>} variables for what is started next: where each component is
 */
export async function setUp({ forTests }) {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    throw new SetupError(`Node ${process.versions.node} is too old: at least 20.19 is needed`)
  const started = performance.now()
  await packages()
  await build()
  const nats = await natsServer()
  const python = await pythonWithTorch({ forTests })
  say(`set-up complete in ${((performance.now() - started) / 1000).toFixed(1)} s (cache: ${cacheDir()})`)
  return { TROUPE_NATS_SERVER: nats, TROUPE_PYTHON: python }
}
