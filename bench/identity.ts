/**
 * What credentials and TLS cost: minting, a connection that a JWT opens beside one that a listed NKey opens,
 * and a launch on a bus with TLS beside one without. Each pair is measured in turns.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Credentials } from '../src/system/contexts.ts'
import { connectNats } from '../src/transport/nats/bus.ts'
import { newSeed, signerOf } from '../src/transport/nats/nkey-sign.ts'
import { mintCredentials, newTenant } from '../src/transport/nats/tenant-accounts.ts'
import { startFleet } from './fleet.ts'
import { launchOn } from './launch.ts'
import { diskDir } from './machine.ts'
import { rowOf, type Bench, type Measurement } from './measure.ts'
import { startBenchServer, startRawBus } from './raw-bus.ts'
import { figureOf, repeat } from './stats.ts'

const MINTED = 1000
const MINT_AIM_MS = 1000
const CONNECT_AIM = 1.2
const TLS_AIM = 1.3

export const identity: Measurement = {
  name: 'identity',
  async run(bench) {
    return [await minting(bench), await connecting(bench), await launching(bench)]
  },
}

async function minting({ quick }: Bench) {
  const { minter } = newTenant()
  const figure = figureOf(
    await repeat(quick ? 1 : 5, async () => {
      const began = performance.now()
      for (let i = 0; i < MINTED; i++)
        await mintCredentials(minter, 'agent', `n${i}`, { expires: Date.now() + 3_600_000 })
      return performance.now() - began
    }),
  )
  return rowOf({
    what: `${MINTED} credentials minted`,
    unit: 'ms',
    figure,
    beside: [],
    aim: { text: `≤ ${MINT_AIM_MS} ms`, met: figure.p50 <= MINT_AIM_MS },
  })
}

async function connecting(bench: Bench) {
  const times = bench.quick ? 10 : 200
  const jwts = await startRawBus(bench)
  const nkeys = await startListedServer(bench)
  const [byJwt, byNkey]: [number[], number[]] = [[], []]
  for (let i = -5; i < times; i++)
    for (const [server, into] of [
      [jwts, byJwt],
      [nkeys, byNkey],
    ] as const) {
      const began = performance.now()
      const bus = await connectNats({ servers: server.url, credentials: server.credentials, name: 'bench' })
      const took = performance.now() - began
      await bus.close()
      if (i >= 0) into.push(took)
    }
  await Promise.all([jwts.end(), nkeys.end()])
  const [figure, listed] = [figureOf(byJwt), figureOf(byNkey)]
  return rowOf({
    what: 'connect with a JWT',
    unit: 'ms',
    figure,
    beside: [{ what: 'connect with an NKey that the server lists', unit: 'ms', ...listed }],
    aim: { text: `≤ ${CONNECT_AIM}x`, met: figure.p50 <= CONNECT_AIM * listed.p50 },
  })
}

/** A server whose configuration lists one NKey, as before there were accounts. */
async function startListedServer({ teardown }: Bench) {
  const dir = await mkdtemp(join(diskDir(), 'troupe-bench-listed-'))
  const remove = teardown.add(() => rm(dir, { recursive: true, force: true }))
  const nkeySeed = newSeed('user')
  const credentials: Credentials = { nkeySeed, inboxPrefix: '_INBOX.bench' }
  const server = await startBenchServer(
    dir,
    ({ host, port, serverName }) => `server_name: "${serverName}"
listen: "${host}:${port}"
authorization: { users: [ { nkey: ${signerOf(nkeySeed, 'user').publicKey} } ] }
`,
  )
  const stop = teardown.add(() => server.stop())
  return {
    url: server.url,
    credentials,
    async end() {
      await stop()
      await remove()
    },
  }
}

async function launching(bench: Bench) {
  const times = bench.quick ? 5 : 200
  const plain = await startFleet(bench, 1)
  const secured = await startFleet(bench, 1, { args: ['--listen', '127.0.0.1'] })
  const [overTls, overPlain]: [number[], number[]] = [[], []]
  for (let i = -5; i < times; i++)
    for (const [fleet, into] of [
      [secured, overTls],
      [plain, overPlain],
    ] as const) {
      const { startedMs } = await launchOn(fleet, `bench-${i + 5}`)
      if (i >= 0) into.push(startedMs)
    }
  await Promise.all([plain.end(), secured.end()])
  const [figure, floor] = [figureOf(overTls), figureOf(overPlain)]
  return rowOf({
    what: 'launch request → pid reported, over TLS',
    unit: 'ms',
    figure,
    beside: [{ what: 'the same in plain text', unit: 'ms', ...floor }],
    aim: { text: `≤ ${TLS_AIM}x`, met: figure.p50 <= TLS_AIM * floor.p50 },
    notes: [secured.info.url.replace(/:\d+$/, '')],
  })
}
