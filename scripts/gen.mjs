// `npm run gen`: write the pages that come from the code; `-- --check`: fail where a file differs, is missing
// or is left over.
// Every src/ROOM/docs.ts with `pages()` takes part.
import { build } from 'esbuild'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const root = join(dirname(fileURLToPath(import.meta.url)), '..')
const check = process.argv.includes('--check')
/** Nothing but generated files stands there. */
const OWNED = ['docs/reference', 'docs/schemas', 'tests/golden/bytes']

const rooms = (await readdir(join(root, 'src')))
  .filter((room) => existsSync(join(root, 'src', room, 'docs.ts')))
  .toSorted()
// inside the checkout, so that packages are found
await mkdir(join(root, 'node_modules/.cache'), { recursive: true })
const temp = await mkdtemp(join(root, 'node_modules/.cache/troupe-gen-'))
const pages = []
try {
  await build({
    absWorkingDir: root,
    entryPoints: Object.fromEntries(rooms.map((room) => [room, `src/${room}/docs.ts`])),
    outdir: temp,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    packages: 'external',
    platform: 'node',
    format: 'esm',
    logLevel: 'warning',
  })
  for (const room of rooms) pages.push(...(await import(pathToFileURL(join(temp, `${room}.mjs`)))).pages())
} finally {
  await rm(temp, { recursive: true, force: true })
}

const paths = new Set(pages.map((page) => page.path))
const leftOver = []
for (const dir of OWNED) {
  const entries = await readdir(join(root, dir), { recursive: true, withFileTypes: true }).catch(() => [])
  for (const entry of entries) {
    const path = relative(root, join(entry.parentPath, entry.name))
    if (entry.isFile() && !paths.has(path)) leftOver.push(path)
  }
}
const changed = []
for (const { path, text } of pages)
  if ((await readFile(join(root, path), 'utf8').catch(() => null)) !== text) changed.push({ path, text })

if (check) {
  for (const path of [...changed.map((page) => page.path), ...leftOver])
    process.stderr.write(`differs: ${path}\n`)
  if (changed.length + leftOver.length > 0) process.stderr.write('run: npm run gen\n')
  process.exitCode = changed.length + leftOver.length > 0 ? 1 : 0
} else {
  for (const { path, text } of changed) {
    await mkdir(dirname(join(root, path)), { recursive: true })
    await writeFile(join(root, path), text)
  }
  for (const path of leftOver) await rm(join(root, path))
  process.stderr.write(`${pages.length} pages, ${changed.length} written, ${leftOver.length} removed\n`)
}
