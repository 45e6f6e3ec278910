// `npm run long`: the tests that take longer than the gate may (tests/long), in real time. Writes its report,
// tests/long/REPORT.md, which is committed with what it was run for.
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { endSteps, quiet, say, SetupError } from './setup/say.mjs'
import { root, setUp } from './setup/setup.mjs'
import { runVitest } from './vitest.mjs'

process.once('SIGINT', async () => {
  await endSteps()
  process.exitCode = 130
})

async function main() {
  const found = await setUp({ forTests: true })
  const config = join(root, 'tests/long/vitest.config.ts')
  const { code, summary } = await runVitest(join(root, 'dist/long-results.json'), ['--config', config], found)
  const file = join(root, 'tests/long/REPORT.md')
  await writeFile(file, await report(summary, found.TROUPE_PYTHON))
  say(`the report is in ${file}`)
  process.exitCode = code
}

async function report(summary, python) {
  const torch = (await quiet([python, '-c', 'import torch; print(torch.__version__)'])).stdout.trim()
  const tests = (summary.testResults ?? []).flatMap(({ assertionResults }) => assertionResults)
  return [
    '# The last `npm run long`',
    '',
    `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, torch ${torch}: ` +
      `${summary.numPassedTests} passed, ${summary.numFailedTests} failed.`,
    '',
    '| test | result | seconds |',
    '| --- | --- | --- |',
    ...tests.map(
      ({ fullName, status, duration }) =>
        `| ${fullName.trim()} | ${status} | ${((duration ?? 0) / 1000).toFixed(1)} |`,
    ),
    '',
  ].join('\n')
}

await main().catch((error) => {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exitCode = 1
})
