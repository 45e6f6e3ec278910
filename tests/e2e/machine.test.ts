/**
 * Faults of the machine: ports that strangers take, floods of logs, wrong clocks, values that break shells.
 * All real.
 */
import { createHash } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { existsSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { python, root, run, spooledLogs, startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
let dir: string
beforeAll(async () => {
  fleet = await startFleet({ agents: 2 })
  dir = await mkdtemp(join(tmpdir(), 'troupe-test-machine-'))
})
afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await fleet.end()
})

const programs = join(root, 'tests/support/programs')
async function launch(document: string): Promise<string> {
  const ran = await fleet.troupe(['launch', '-q', '-f', '-'], { input: document })
  expect(ran.code, ran.stderr).toBe(0)
  return ran.stdout.trim()
}
function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}

test('a stranger binds the leased port first: seen by the child’s own exit, and another port is used [A-20 A-21 FC-9 K-26 +A3 +A18 +K4]', async () => {
  // `setup` runs after the hand-over of the port and before the worker: it tells us the port and waits until
  // we, a stranger, have taken it; once
  const setup = [
    `if [ ! -e ${dir}/taken ]; then`,
    `  echo "$TROUPE_PORT_0" > ${dir}/port.tmp; mv ${dir}/port.tmp ${dir}/port`,
    `  while [ ! -e ${dir}/taken ]; do sleep 0.05; done`,
    'fi',
  ].join('\n')
  const id = await launch(
    JSON.stringify({
      apiVersion: 'troupe/v1',
      name: 'stranger',
      roles: {
        web: {
          kind: 'service',
          setup,
          resources: { ports: 1 },
          command: [python, join(programs, 'serve.py'), '${{ port.0 }}'],
          ready: { http: { port: 0, path: '/' } },
        },
      },
    }),
  )
  const port = Number(
    await until('the port is told', () => readFile(join(dir, 'port'), 'utf8').catch(() => null)),
  )
  const stranger: Server = createServer()
  await new Promise<void>((resolve) => stranger.listen(port, '127.0.0.1', resolve))
  try {
    await writeFile(join(dir, 'taken'), '')
    expect((await fleet.troupe(['wait', id, '--for', 'ready', '--timeout', '30s'])).code).toBe(0)
    const status = await fleet.json(['status', id])
    expect(status.workers[0].ports[0]).not.toBe(port)
    expect(status.workers[0].attempt).toBeGreaterThan(1)
    expect(await (await fetch(`http://${status.workers[0].addr}/`)).text()).toBe('ok')
  } finally {
    stranger.close()
    await fleet.troupe(['kill', id])
  }
})

test('64 workers flood their logs with 1 MB lines, binary bytes and no newline at the end: a reader’s bytes are the file’s [FC-13 A-33]', async () => {
  const id = await launch(
    task('flood', ['sh', '-c', `exec "${python}" ${join(programs, 'flood.py')} $TROUPE_INDEX 2000000`], {
      replicas: 64,
    }),
  )
  const waited = await fleet.troupe(['wait', id, '--timeout', '120s'], { timeoutMs: 130_000 })
  expect(waited.code).toBe(0)
  const files = [...(await spooledLogs(fleet, id)).values()].filter((file) => file.endsWith('/stdout'))
  expect(files).toHaveLength(64)
  for (const file of files.filter((name) => /\.main\.(0|7|31|63)\./.test(name))) {
    const index = /\.main\.(\d+)\./.exec(file)![1]
    // the child's bytes are binary: read them through a file
    const copy = join(dir, `copy-${index}`)
    const ran = await run(
      'bash',
      ['-c', `"${join(root, 'bin/troupe')}" logs ${id}/main/${index} --raw --stream stdout > ${copy}`],
      { env: fleet.env },
    )
    expect(ran.code, ran.stderr).toBe(0)
    const [bytes, original] = [await readFile(copy), await readFile(file)]
    expect(original.length).toBe(1_000_001 + 2_000_000 + 24)
    expect({ index, bytes: bytes.length, sha: sha256(bytes) }).toEqual({
      index,
      bytes: original.length,
      sha: sha256(original),
    })
  }
})

test('environment and argv with =, commas, quotes, newlines, spaces and UTF-8 arrive as they were sent [FC-14 A-30 +A15 +A16]', async () => {
  const values = {
    EQ: 'a=b=c,d',
    QUOTES: `"it's" \`x\` $HOME`,
    LINES: 'one\ntwo\n',
    UTF: 'grüße 你好 🎭',
    EMPTY: '',
  }
  const argument = `sp ace\t"q" 'p' $(id) \\ é\nnext`
  const id = await launch(
    task(
      'values',
      [
        python,
        '-c',
        'import json,os,sys; print(json.dumps([{k: os.environ[k] for k in "EQ QUOTES LINES UTF EMPTY".split()}, sys.argv[1]]))',
        argument,
      ],
      { env: values },
    ),
  )
  expect((await fleet.troupe(['wait', id])).code).toBe(0)
  expect(JSON.parse((await fleet.troupe(['logs', id, '--raw', '--stream', 'stdout'])).stdout)).toEqual([
    values,
    argument,
  ])
})

test.each(['+1h', '-1h'])(
  'an agent whose wall clock is %s off: runs end truly, and the first failure is right or said to be uncertain [FC-25]',
  async (offset) => {
    const library = readdirSync('/usr/lib')
      .map((entry) => `/usr/lib/${entry}/faketime/libfaketime.so.1`)
      .find((file) => existsSync(file))
    expect(library, 'libfaketime is installed by the test set-up').toBeDefined()
    const node = offset === '+1h' ? 'ahead' : 'behind'
    const agent = fleet.start(['agent', '--node', node], {
      LD_PRELOAD: library,
      FAKETIME: offset,
      FAKETIME_DONT_FAKE_MONOTONIC: '1',
    })
    try {
      await until(
        'the node is ready',
        async () =>
          (await fleet.json(['nodes'])).some(
            (n: { node: string; state: string }) => n.node === node && n.state === 'ready',
          ),
        30_000,
      )
      const role = (on: string, script: string) => ({
        kind: 'task',
        nodelist: [on],
        command: ['sh', '-c', script],
      })
      const id = await launch(
        JSON.stringify({
          apiVersion: 'troupe/v1',
          name: `clock-${node}`,
          roles: { skewed: role(node, 'sleep 1; exit 3'), right: role('n0', 'sleep 3; exit 4') },
        }),
      )
      const waited = await fleet.troupe(['wait', id, '--timeout', '60s'])
      const status = await fleet.json(['status', id])
      expect(waited.code).toBe(3)
      expect(status.firstFailure).toMatchObject({ worker: `${id}/skewed/0`, exit: { code: 3 } })
      expect(status.clocks.runMs).toBeLessThan(60_000)
      expect(status.clocks.queuedMs).toBeLessThan(60_000)
    } finally {
      agent.kill('SIGTERM')
      await new Promise((resolve) => agent.once('close', resolve))
    }
  },
)

test('nothing of a run that ended is left in the process table or in leases [A-32 FC-2]', async () => {
  const id = await launch(
    task(
      'tree',
      ['sh', '-c', `setsid sh -c 'sleep 7777' & (trap "" TERM; echo deaf; sleep 7778) & sleep 7779`],
      {
        stop: { grace: '500ms' },
      },
    ),
  )
  await until('it is deaf', async () => (await fleet.troupe(['logs', id])).stdout.includes('deaf'))
  const stopped = await fleet.troupe(['stop', id, '--json'])
  expect(stopped.code).toBe(0)
  expect(JSON.parse(stopped.stdout).receipts).toEqual([
    expect.objectContaining({ outcome: 'gone', survivors: [] }),
  ])
  const commands = await Promise.all(
    (await readdir('/proc'))
      .filter((e) => /^\d+$/.test(e))
      .map((pid) => readFile(`/proc/${pid}/cmdline`, 'latin1').catch(() => '')),
  )
  expect(commands.filter((command) => /sleep\x00777[789]/.test(command))).toEqual([])
})
