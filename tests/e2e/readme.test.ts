/** The README as a user types it: every shell block in one shell, in order, its files where they say. */
import { cp, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { cacheOf } from '../../src/system/paths.ts'
import { blocksOf, type Block } from '../support/code-blocks.ts'
import { fleetEnv, root, run } from '../support/fleet.ts'

let dir: string
/** The checkout by links, but for the folder that files are saved in. */
let checkout: string
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'troupe-readme-'))
  checkout = join(dir, 'checkout')
  await mkdir(checkout)
  for (const name of await readdir(root))
    if (name !== 'examples' && !name.startsWith('.')) await symlink(join(root, name), join(checkout, name))
  await cp(join(root, 'examples'), join(checkout, 'examples'), { recursive: true })
})
afterAll(() => rm(dir, { recursive: true, force: true }))

/** A document is typed by the block that names its file, a program by starting it. */
function typed({ language, file, line, text }: Block): string {
  const lines: Record<string, string> = { sh: text, js: `node ${file}\n` }
  return `echo "README:${line}"\n${lines[language] ?? ''}`
}

test(
  'every block of the README runs as it stands, and the fleet that it leaves goes down',
  { timeout: 600_000 },
  async () => {
    const blocks = blocksOf('README.md').filter(
      ({ language, notRun }) => language !== 'text' && notRun === null,
    )
    for (const { file, text } of blocks) if (file !== null) await writeFile(join(checkout, file), text)
    const script = blocks.map(typed)
    const env = { ...fleetEnv(join(dir, 'home')), TROUPE_CACHE: cacheOf(process.env), HOME: dir }
    const ran = await run('bash', ['-ec', script.join('\n')], { env, cwd: checkout, timeoutMs: 580_000 })
    const down = await run(join(root, 'bin/troupe'), ['down'], { env })
    expect(ran.code, ran.stdout + ran.stderr).toBe(0)
    expect(ran.stdout).toContain('hello\n')
    expect(ran.stdout).toMatch(/^\[trainer:\d\] epoch 2: mean loss/m)
    expect(ran.stdout).toMatch(/test accuracy .* % \(final\)/)
    expect(ran.stdout).toContain(`[main/0] ${(await run('hostname', [])).stdout}`)
    expect(down.code).toBe(0)
    expect(blocks.map(({ language }) => language)).toEqual(['sh', 'yaml', 'sh', 'js'])
  },
)
