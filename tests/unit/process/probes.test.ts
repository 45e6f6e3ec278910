import { appendFile, mkdtemp, rm, truncate, writeFile } from 'node:fs/promises'
import { createServer as createHttpServer, type ServerResponse } from 'node:http'
import { createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { startProbe, type ProbeInput } from '../../../src/process/probes.ts'
import type { Probe } from '../../../src/protocol/launch/resolved.ts'

const timing = { timeoutMs: 10_000, intervalMs: 20, attemptTimeoutMs: 1000, failures: 2 }
const cleanUps: (() => unknown)[] = []
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp()
})

interface Watched {
  /** all that was told */
  told: [boolean, string | null][]
  /** the next thing told from now on that fits */
  next(fits: (ready: boolean, reason: string | null) => boolean): Promise<[boolean, string | null]>
  stop(): void
}
function watching(probe: Probe, input: Partial<ProbeInput> = {}): Watched {
  const told: [boolean, string | null][] = []
  let waiting: {
    fits: (ready: boolean, reason: string | null) => boolean
    resolve: (fact: [boolean, string | null]) => void
  }[] = []
  const { stop } = startProbe({
    probe,
    host: '127.0.0.1',
    ports: [],
    run: () => Promise.reject(new Error('not here')),
    logFiles: () => [],
    onChange(ready, reason) {
      told.push([ready, reason])
      const met = waiting.filter(({ fits }) => fits(ready, reason))
      waiting = waiting.filter((one) => !met.includes(one))
      for (const { resolve } of met) resolve([ready, reason])
    },
    ...input,
  })
  cleanUps.push(stop)
  return { told, stop, next: (fits) => new Promise((resolve) => void waiting.push({ fits, resolve })) }
}
function yes(ready: boolean): boolean {
  return ready
}
function no(ready: boolean): boolean {
  return !ready
}

function portOf(server: Server): Promise<number> {
  return new Promise((resolve) => {
    const sockets = new Set<Socket>()
    server.on(
      'connection',
      (socket: Socket) => void sockets.add(socket.on('close', () => sockets.delete(socket))),
    )
    server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port))
    cleanUps.push(() => {
      for (const socket of sockets) socket.destroy()
      return new Promise((done) => server.close(done))
    })
  })
}
/** An HTTP server that answers as it is told at the moment; it counts what it was asked. */
async function httpServer(
  first: (response: ServerResponse) => void,
): Promise<{ port: number; asked: string[]; answer: (response: ServerResponse) => void }> {
  const state = { port: 0, asked: [] as string[], answer: first }
  state.port = await portOf(
    createHttpServer((request, response) => {
      state.asked.push(request.url!)
      state.answer(response)
    }),
  )
  return state
}
function status(code: number) {
  return (response: ServerResponse) => void response.writeHead(code).end('x'.repeat(100))
}
function http(changes: Partial<Probe> = {}): Probe {
  return { kind: 'http', port: 0, path: '/health', ...timing, ...changes } as Probe
}

test('a server that answers 503 and then 200 is told once as not ready, with the reason, and once as ready [A-28 K-16 FC-16 R-06]', async () => {
  const server = await httpServer(status(503))
  const worker = watching(http(), { ports: [server.port] })
  expect(await worker.next(no)).toEqual([false, `GET http://127.0.0.1:${server.port}/health answered 503`])
  server.answer = status(204)
  await worker.next(yes)
  const asked = server.asked.length
  server.answer = (response) => {
    status(200)(response)
    if (server.asked.length === asked + 3) server.answer = status(500)
  }
  await worker.next(no)
  expect(worker.told).toEqual([
    [false, `GET http://127.0.0.1:${server.port}/health answered 503`],
    [true, null],
    [false, `GET http://127.0.0.1:${server.port}/health answered 500`],
  ])
  expect(new Set(server.asked)).toEqual(new Set(['/health']))
})

test('a process that is alive but hangs becomes unready after so many attempts without an answer [FC-16 A-28]', async () => {
  const server = await httpServer(status(200))
  const worker = watching(http({ attemptTimeoutMs: 30 }), { ports: [server.port] })
  await worker.next(yes)
  const before = server.asked.length
  server.answer = () => {}
  expect(await worker.next(no)).toEqual([
    false,
    `GET http://127.0.0.1:${server.port}/health: no answer in 30 ms`,
  ])
  expect(server.asked.length - before).toBeGreaterThanOrEqual(2)
  server.answer = status(200)
  await worker.next(yes)
})

test('one failure among successes leaves a ready worker ready [A-28]', async () => {
  const server = await httpServer(status(200))
  const worker = watching(http(), { ports: [server.port] })
  await worker.next(yes)
  await new Promise<void>((resolve) => {
    let n = 0
    server.answer = (response) => {
      status(++n % 2 === 1 ? 500 : 200)(response)
      if (n === 8) resolve()
    }
  })
  expect(worker.told).toEqual([[true, null]])
})

test('ready is seen soon although the interval is long: the first attempts follow each other quickly [A-28 A-29 R-06]', async () => {
  let asked = 0
  const server = await httpServer((response) => status(++asked < 4 ? 503 : 200)(response))
  const started = performance.now()
  await watching(http({ intervalMs: 60_000 }), { ports: [server.port] }).next(yes)
  expect(performance.now() - started).toBeLessThan(5000)
})

test.each([200, 204, 206])('an answer of %i is ready', async (code) => {
  const server = await httpServer(status(code))
  await watching(http(), { ports: [server.port] }).next(yes)
})

test.each([301, 302, 304, 401, 404])('an answer of %i is not ready, and says why', async (code) => {
  const server = await httpServer(status(code))
  expect((await watching(http(), { ports: [server.port] }).next(no))[1]).toContain(`answered ${code}`)
})

test('a port where nothing listens is not ready, and says why [A-28]', async () => {
  const closed = createServer()
  const port = await portOf(closed)
  await new Promise((done) => closed.close(done))
  expect((await watching(http(), { ports: [port] }).next(no))[1]).toBe(
    `GET http://127.0.0.1:${port}/health: ECONNREFUSED`,
  )
  expect((await watching({ kind: 'tcp', port: 0, ...timing }, { ports: [port] }).next(no))[1]).toBe(
    `127.0.0.1:${port}: ECONNREFUSED`,
  )
  expect(() => watching(http(), { ports: [] })).toThrow('the probe asks port 0, and 0 are leased')
})

test('a TCP probe is ready when the port accepts, and unready again when it no longer does [A-28 K-16]', async () => {
  const server = createServer((socket) => socket.on('error', () => {}))
  const port = await portOf(server)
  const worker = watching({ kind: 'tcp', port: 0, ...timing }, { ports: [port] })
  await worker.next(yes)
  server.close()
  expect((await worker.next(no))[1]).toBe(`127.0.0.1:${port}: ECONNREFUSED`)
})

test('an exec probe is ready on exit code 0, and its own timeout is passed on [A-28]', async () => {
  const codes = [3, 0]
  const runs: [string[], number][] = []
  const worker = watching(
    { kind: 'exec', command: ['check', '--deep'], ...timing },
    {
      run(argv, timeoutMs) {
        runs.push([argv, timeoutMs])
        const code = codes.shift()
        return code === undefined
          ? Promise.reject(new Error('check took longer than 1000 ms'))
          : Promise.resolve(code)
      },
    },
  )
  await worker.next(yes)
  expect(await worker.next(no)).toEqual([false, 'check took longer than 1000 ms'])
  expect(worker.told.slice(0, 2)).toEqual([
    [false, 'check exited with 3'],
    [true, null],
  ])
  expect(runs[0]).toEqual([['check', '--deep'], 1000])
})

async function logDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'troupe-probe-'))
  cleanUps.push(() => rm(dir, { recursive: true }))
  return dir
}
function log(pattern: string): Probe {
  return { kind: 'log', pattern, ...timing }
}

test('a log probe is ready when a line matches in any of the files, also when it came in two halves, and stays ready [A-28]', async () => {
  const dir = await logDir()
  const files = [join(dir, 'stdout'), join(dir, 'stderr')]
  const worker = watching(log('^listening on .*größe \\d+$'), { logFiles: () => files })
  expect(await worker.next(no)).toEqual([false, "no line matches '^listening on .*größe \\d+$' yet"])
  const line = Buffer.from('starting\nlistening on größe 80\nlater\n')
  const half = line.indexOf(0xc3) + 1
  await writeFile(files[1]!, line.subarray(0, half))
  const ready = worker.next(yes)
  await appendFile(files[1]!, line.subarray(half))
  await ready
  expect(worker.told.length).toBe(2)
})

test('a log that was truncated is read from its beginning, and an unfinished last line counts when no more of it comes [A-28]', async () => {
  const file = join(await logDir(), 'stdout')
  await writeFile(file, 'x'.repeat(5000))
  const worker = watching(log('ready>$'), { logFiles: () => [file] })
  await worker.next(no)
  await truncate(file, 0)
  await appendFile(file, 'prompt ready>')
  await worker.next(yes)
})

test('a pattern that would block a backtracking engine for ever is matched in time, and one that is none is refused [A-28]', async () => {
  const file = join(await logDir(), 'stdout')
  await writeFile(file, `${'a'.repeat(50_000)}!\nup\n`)
  await watching(log('^((a+)+|up)$'), { logFiles: () => [file] }).next(yes)
  expect(() => watching(log('(unclosed'))).toThrow(expect.objectContaining({ code: 'SPEC_INVALID' }) as Error)
})

test('after stop nothing is told any more, not even the answer to what was asked before', async () => {
  const answers: ((code: number) => void)[] = []
  const worker = watching(
    { kind: 'exec', command: ['check'], ...timing },
    { run: () => new Promise((resolve) => void answers.push(resolve)) },
  )
  worker.stop()
  answers[0]!(0)
  await new Promise(setImmediate)
  expect(worker.told).toEqual([])
})
