#!/usr/bin/env node
/**
 * `npm run mutants`: each patch of tests/sim/mutants takes one fence away; the suite that its header names
 * must then fail. A patch that does not apply, and a suite that stays green or cannot run, are failures.
 * Nothing touches the checkout: patches are applied to copies of it.
 *
 *   # suite: sim                         the simulation, 300 seeds, until the first failure
 *   # suite: tests/contracts/x.test.ts   a vitest file
 *   # only: WORDS                        its tests with these words in the name
 *
 *   npm run mutants -- NAME…             only those whose file name contains one of the words
 */
import { execFile } from 'node:child_process'
import { cp, mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const PATCHES = join(ROOT, 'tests/sim/mutants')
const SEEDS = 300
const LANES = 2

function run(program, args, cwd) {
  return new Promise((resolve) =>
    execFile(program, args, { cwd, maxBuffer: 64 * 1024 * 1024, timeout: 300_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : (error.code ?? 1), text: `${stdout}${stderr}`, stdout }),
    ),
  )
}

/** A copy of what git knows or would know, as it stands; packages are shared. */
async function copyTree(to) {
  const { stdout, code } = await run(
    'git',
    [
      'ls-files',
      '-co',
      '--exclude-standard',
      '-z',
      'src',
      'tests',
      'scripts',
      'nats',
      'package.json',
      'tsconfig.json',
      'vitest.config.ts',
    ],
    ROOT,
  )
  if (code !== 0) throw new Error(`git ls-files: ${code}`)
  for (const file of stdout.split('\0').filter((name) => name !== '')) {
    await mkdir(dirname(join(to, file)), { recursive: true })
    await cp(join(ROOT, file), join(to, file)).catch((error) => {
      if (error.code !== 'ENOENT') throw error
    })
  }
  await symlink(join(ROOT, 'node_modules'), join(to, 'node_modules'))
}

/** @returns {Promise<{ caught: boolean, how: string }>} */
async function judge(suite, only, cwd) {
  if (suite === 'sim') {
    const { code, text } = await run(
      'node',
      ['scripts/sim.mjs', '--seeds', String(SEEDS), '--first', '--workers', '1'],
      cwd,
    )
    const lines = text.trim().split('\n')
    const seed = lines.find((line) => line.startsWith('seed '))
    const why = lines[lines.indexOf(seed) + 1]?.trim()
    return code === 1 && seed !== undefined
      ? { caught: true, how: `${seed.split(' (')[0]}: ${why}` }
      : {
          caught: false,
          how:
            code === 0
              ? `${SEEDS} seeds stay green`
              : `the simulation cannot run: ${lines.slice(0, 3).join(' ')}`,
        }
  }
  const report = join(cwd, 'vitest-report.json')
  const { text } = await run(
    'npx',
    [
      'vitest',
      'run',
      suite,
      ...(only === undefined ? [] : ['-t', only]),
      '--reporter=json',
      `--outputFile=${report}`,
    ],
    cwd,
  )
  const result = await readFile(report, 'utf8').then(JSON.parse, () => null)
  await rm(report, { force: true })
  if (result === null) return { caught: false, how: `${suite} cannot run: ${text.slice(-300)}` }
  const failed = result.testResults
    .flatMap((file) => file.assertionResults)
    .find(({ status }) => status === 'failed')
  return failed === undefined
    ? {
        caught: false,
        how: result.numTotalTests === 0 ? `${suite} has no test that ran` : `${suite} stays green`,
      }
    : { caught: true, how: failed.title }
}

async function test(name, cwd) {
  const patch = join(PATCHES, name)
  const header = await readFile(patch, 'utf8')
  const suite = /^# suite: *(\S+)/m.exec(header)?.[1] ?? 'sim'
  const only = /^# only: *(.+)$/m.exec(header)?.[1]
  const applied = await run('git', ['apply', '-C1', patch], cwd)
  if (applied.code !== 0)
    return { name, caught: false, how: `the patch does not apply: ${applied.text.trim()}` }
  const verdict = await judge(suite, only, cwd)
  const back = await run('git', ['apply', '-R', '-C1', patch], cwd)
  if (back.code !== 0) throw new Error(`${name} cannot be taken back: ${back.text}`)
  return { name, ...verdict }
}

const words = process.argv.slice(2)
const names = (await readdir(PATCHES))
  .filter(
    (name) => name.endsWith('.patch') && (words.length === 0 || words.some((word) => name.includes(word))),
  )
  .sort()
const dir = await mkdtemp(join(tmpdir(), 'troupe-mutants-'))
const began = performance.now()
try {
  const queue = [...names]
  let green = 0
  const lane = async (cwd) => {
    await copyTree(cwd)
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const { caught, how } = await test(name, cwd)
      if (!caught) green++
      console.log(`${caught ? 'caught' : 'GREEN '}  ${name.replace('.patch', '').padEnd(44)} ${how}`)
    }
  }
  await Promise.all(
    Array.from({ length: Math.min(LANES, names.length) }, (_, i) => lane(join(dir, String(i)))),
  )
  console.log(
    `\n${names.length} mutants, ${names.length - green} caught, ${green} not, ${((performance.now() - began) / 1000).toFixed(1)} s`,
  )
  process.exitCode = green > 0 || names.length === 0 ? 1 : 0
} finally {
  await rm(dir, { recursive: true, force: true })
}
