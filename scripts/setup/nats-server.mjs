// A current nats-server: PATH if at or above the security floor, else the cache, else `go install`, else the
// official release
// checked against its published SHA-256 sums.
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cached } from './cache.mjs'
import { quiet, say, SetupError, step } from './say.mjs'
import { needSpace } from './space.mjs'

/** The numbers that src/transport/nats/versions.ts judges by, too. */
const { current: VERSION, secure } = JSON.parse(
  readFileSync(new URL('../../src/transport/nats/versions.json', import.meta.url), 'utf8'),
)

/** The first secure patch of a minor release; the last one holds for all that comes after it. */
export function aboveFloor(version) {
  const [major, minor, patch] = version.split('.').map(Number)
  return secure.some((floor, i) => {
    const [floorMajor, floorMinor, floorPatch] = floor.split('.').map(Number)
    if (major === floorMajor && minor === floorMinor) return patch >= floorPatch
    return i === secure.length - 1 && (major > floorMajor || (major === floorMajor && minor > floorMinor))
  })
}

async function versionOf(program) {
  return /v(\d+\.\d+\.\d+)/.exec((await quiet([program, '--version'])).stdout)?.[1]
}

/** @returns path of the program */
export async function natsServer() {
  const given = process.env.TROUPE_NATS_SERVER
  if (given) {
    if (!(await versionOf(given))) throw new SetupError(`TROUPE_NATS_SERVER=${given} is no nats-server`)
    return given
  }
  const onPath = await versionOf('nats-server')
  if (onPath && aboveFloor(onPath)) return 'nats-server'
  if (onPath)
    say(
      `nats-server ${onPath} on PATH is below the security floor (${secure.join(' or ')}): getting ${VERSION}`,
    )
  const dir = await cached(`nats-server/${VERSION}`, async (target) => {
    await needSpace(target, 0.6e9, `nats-server ${VERSION}`)
    const program = join(target, 'nats-server')
    if ((await quiet(['go', 'version'])).code === 0) {
      try {
        await step(
          `nats-server ${VERSION} with go install`,
          ['go', 'install', `github.com/nats-io/nats-server/v2@v${VERSION}`],
          { env: { ...process.env, GOBIN: target, GOFLAGS: '-trimpath' } },
        )
        return
      } catch (error) {
        say(`${error.message}\ntrying the official release`)
      }
    }
    await release(target, program)
  })
  return join(dir, 'nats-server')
}

async function release(dir, program) {
  const arch = { x64: 'amd64', arm64: 'arm64' }[process.arch]
  const base = `https://github.com/nats-io/nats-server/releases/download/v${VERSION}`
  const name = `nats-server-v${VERSION}-${process.platform}-${arch}.tar.gz`
  const get = async (url) => {
    const answer = await fetch(url, { signal: AbortSignal.timeout(120_000) }).catch((error) => {
      throw new SetupError(
        `cannot get ${url}: ${error.cause?.message ?? error.message}. Put a nats-server of at least ${secure.at(-1)} on PATH, or install Go.`,
      )
    })
    if (!answer.ok) throw new SetupError(`cannot get ${url}: ${answer.status}`)
    return Buffer.from(await answer.arrayBuffer())
  }
  const sums = (await get(`${base}/SHA256SUMS`)).toString()
  const wanted = sums
    .split('\n')
    .find((line) => line.trim().endsWith(name))
    ?.split(/\s+/)[0]
  if (!wanted) throw new SetupError(`the release's SHA256SUMS does not name ${name}`)
  const archive = await get(`${base}/${name}`)
  const sum = createHash('sha256').update(archive).digest('hex')
  if (sum !== wanted) throw new SetupError(`${name} has SHA-256 ${sum}, published is ${wanted}: not used`)
  const file = join(dir, name)
  await writeFile(file, archive)
  await step('unpacking nats-server', ['tar', '-xzf', file, '-C', dir, '--strip-components=1'])
  await rm(file)
  await chmod(program, 0o755)
  if (!(await versionOf(program))) throw new SetupError('the unpacked nats-server does not run')
}
