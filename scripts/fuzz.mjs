// `npm run fuzz [-- --seconds 60 --seed N]`: a fleet under garbage (tests/integration/fuzz.test.ts), for
// longer than the gate does it. Writes its report, tests/long/FUZZ.md, which is committed with what it was
// run for.
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { endSteps, say, SetupError } from './setup/say.mjs'
import { root, setUp } from './setup/setup.mjs'
import { runVitest } from './vitest.mjs'

process.once('SIGINT', async () => {
  await endSteps()
  process.exitCode = 130
})

async function main() {
  const { seconds, seed } = parseArgs({
    options: {
      seconds: { type: 'string', default: '60' },
      seed: { type: 'string', default: String(Date.now() % 1_000_000) },
    },
  }).values
  if (!/^[1-9]\d{0,4}$/.test(seconds) || !/^\d{1,9}$/.test(seed))
    throw new SetupError('--seconds and --seed are whole numbers')
  const found = await setUp({ forTests: true })
  const results = join(root, 'dist/fuzz.json')
  await rm(results, { force: true })
  const { code, summary } = await runVitest(
    join(root, 'dist/fuzz-results.json'),
    ['--project', 'integration', 'tests/integration/fuzz.test.ts'],
    { ...found, TROUPE_FUZZ_SECONDS: seconds, TROUPE_FUZZ_SEED: seed, TROUPE_FUZZ_RESULTS: results },
  )
  const file = join(root, 'tests/long/FUZZ.md')
  const fuzzed = JSON.parse(await readFile(results, 'utf8').catch(() => 'null'))
  await writeFile(file, report(code === 0 && summary.numPassedTests > 0, seconds, seed, fuzzed))
  say(`the report is in ${file}`)
  process.exitCode = code
}

function report(passed, seconds, seed, fuzzed) {
  const lines = [
    '# The last `npm run fuzz`',
    '',
    `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node}, ` +
      `${seconds} s, seed ${seed}: ${passed ? 'passed' : 'failed'}.`,
    '',
  ]
  if (fuzzed === null) return lines.join('\n')
  const { sent, answers, refused, slowestMs, memory } = fuzzed
  return [
    ...lines,
    '| what | |',
    '| --- | --- |',
    ...Object.entries(sent).map(([role, count]) => `| messages from ${role} | ${count} |`),
    `| answers into the askers’ own inboxes | ${answers} |`,
    `| refused by the server | ${refused} |`,
    '| slowest answer to another client: coordinator, agent ' +
      `| ${slowestMs.coordinator} ms, ${slowestMs.agent} ms |`,
    `| most memory: coordinator, agent | ${memory.coordinator} MB, ${memory.agent} MB |`,
    '',
  ].join('\n')
}

await main().catch((error) => {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exitCode = 1
})
