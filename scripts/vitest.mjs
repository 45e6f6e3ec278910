// vitest as a child, with its report as JSON.
import { spawn } from 'node:child_process'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { root } from './setup/setup.mjs'

/**
 * @param {string} results  the file of the report
 * @param {string[]} args   of vitest
 * @param {Record<string, string>} env  beside ours
 */
export async function runVitest(results, args, env) {
  await mkdir(dirname(results), { recursive: true })
  await rm(results, { force: true })
  const argv = [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${results}`,
    ...args,
  ]
  const child = spawn(process.execPath, argv, {
    cwd: root,
    stdio: ['ignore', 'inherit', 'inherit'],
    env: { ...process.env, ...env },
  })
  const code = await new Promise((resolve) =>
    child.on('close', (status, signal) => resolve(status ?? (signal === 'SIGINT' ? 130 : 1))),
  )
  const summary = JSON.parse(
    await readFile(results, 'utf8').catch(() => '{"numPassedTests":0,"numFailedTests":1}'),
  )
  return { code, summary }
}
