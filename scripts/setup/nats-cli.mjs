// The `nats` command line, for the test that launches with it: with `go install`, into the cache. One on PATH
// is not taken: the test is of the version that is named here.
import { join } from 'node:path'
import { cached } from './cache.mjs'
import { quiet, say, SetupError, step } from './say.mjs'
import { needSpace } from './space.mjs'

const VERSION = '0.5.1'

/** @returns path of the program, or null when it cannot be got */
export async function natsCli() {
  try {
    const dir = await cached(`nats-cli/${VERSION}`, async (target) => {
      await needSpace(target, 1.5e9, `nats ${VERSION}`)
      if ((await quiet(['go', 'version'])).code !== 0) throw new SetupError('Go is missing')
      await step(
        `nats ${VERSION} with go install`,
        ['go', 'install', `github.com/nats-io/natscli/nats@v${VERSION}`],
        { env: { ...process.env, GOBIN: target, GOFLAGS: '-trimpath' } },
      )
    })
    return join(dir, 'nats')
  } catch (error) {
    const text = `the nats command line is missing: ${error.message}`
    if (process.env.CI === 'true') throw new SetupError(text)
    say(`${text}; the test that needs it fails`)
    return null
  }
}
