// `npm test [-- vitest arguments]`: all set-up, then every test, the time of each layer beside its budget,
// and one line `N passed, N failed, N skipped`.
// With CI=true a skipped test is a failure: a missing component must not look like success.
import { join } from 'node:path'
import { natsCli } from './setup/nats-cli.mjs'
import { root, setUp } from './setup/setup.mjs'
import { endSteps, say, SetupError } from './setup/say.mjs'
import { testTools } from './setup/test-tools.mjs'
import { budgetLines } from './test-budgets.mjs'
import { runVitest } from './vitest.mjs'

const results = join(root, 'dist/test-results.json')

process.once('SIGINT', async () => {
  await endSteps()
  process.exitCode = 130
})

async function main() {
  const found = await setUp({ forTests: true })
  await testTools()
  const nats = await natsCli()
  if (nats !== null) found.TROUPE_TEST_NATS_CLI = nats
  const given = process.argv.slice(2)
  const { code, summary } = await runVitest(results, given, found)
  const skipped = (summary.numPendingTests ?? 0) + (summary.numTodoTests ?? 0)
  const forbidden = process.env.CI === 'true' && skipped > 0 && given.length === 0
  if (forbidden) say('with CI=true a skipped test counts as failed')
  // a file that cannot be loaded has no tests to count, yet it failed
  const brokenFiles = (summary.testResults ?? []).filter(
    (file) => file.status === 'failed' && file.assertionResults.every((test) => test.status !== 'failed'),
  ).length
  for (const line of budgetLines(summary, root)) say(line)
  const failed = summary.numFailedTests + brokenFiles + (forbidden ? skipped : 0)
  process.stdout.write(
    `${summary.numPassedTests} passed, ${failed} failed, ${forbidden ? 0 : skipped} skipped\n`,
  )
  process.exitCode = code !== 0 ? code : forbidden ? 1 : 0
}

await main().catch((error) => {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.stdout.write('0 passed, 1 failed, 0 skipped\n')
  process.exitCode = 1
})
