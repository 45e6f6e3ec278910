/**
 * Programs that others wrote and a stop once harmed, as small fixtures of the same behaviour: Ray's head, the
 * nanny of dask, mpirun, torch's DataLoader, PostgreSQL's smart shutdown, and the wrappers that people write.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { cliFleet } from '../support/cli-fleet.ts'
import { root, until } from '../support/fleet.ts'

const cli = cliFleet()
const programs = join(root, 'tests/support/programs')
const loader = ['python3', join(programs, 'loader.py')]
/** Says each signal that it gets, and that it saved. */
const saver = `python3 ${join(programs, 'stop_once.py')} 0.5`

function foreign(...args: string[]): string[] {
  return ['python3', join(programs, 'foreign.py'), ...args]
}

async function logs(run: string): Promise<string> {
  const { stdout, stderr } = await cli.fleet.troupe(['logs', run])
  return stdout + stderr
}

async function says(run: string, word: string): Promise<void> {
  await until(`"${word}" is in the log`, async () => (await logs(run)).includes(word))
}

/** It is launched, is ready, and is stopped. */
async function stopped(name: string, command: string[], stop: object = {}) {
  const run = await cli.launch(name, command, { stop: { grace: '20s', ...stop } })
  await until('it is ready', async () => /is ready|begins/.test(await logs(run)))
  const began = performance.now()
  const { receipts } = await cli.fleet.json(['stop', run])
  const seconds = (performance.now() - began) / 1000
  expect(receipts).toMatchObject([{ outcome: 'gone' }])
  const [worker] = (await cli.fleet.json(['status', run])).workers
  const text = (await logs(run)).replace(/^\[.*?\] /gm, '')
  return { exit: worker.exit, lines: text.trim().split('\n').toSorted(), seconds }
}

const TREES: [string, string[], string[], RegExp][] = [
  ['ray, whose head asks the server below it', foreign('ray'), ['drained', 'is ready'], /RpcError/],
  [
    'dask, whose nanny closes its worker',
    foreign('dask'),
    ['is ready', 'worker closed by its nanny'],
    /was killed by signal 15/,
  ],
  [
    'mpirun, which forwards',
    foreign('mpirun'),
    ['is ready', 'rank 0 TERM 1', 'rank 1 TERM 1'],
    /rank 0 TERM 2/,
  ],
  ['a DataLoader, whose helper must live until the save', loader, ['begins', 'saved'], /is killed by signal/],
]

test.each(TREES)('%s: it ends by itself, with 0 and well within its grace', async (_, command, lines) => {
  const ended = await stopped('foreign', command)
  expect(ended.lines).toEqual(lines)
  expect(ended.exit).toMatchObject({ code: 0, signal: null })
  expect(ended.seconds).toBeLessThan(10)
})

test.each(TREES)(
  '%s: a signal to all of its processes at once is what harms it',
  async (_, command, __, harm) => {
    expect((await stopped('harmed', command, { to: 'tree' })).lines.join('\n')).toMatch(harm)
  },
)

test('a smart shutdown of PostgreSQL: the client that is there gets its row, then the server ends with 0', async () => {
  const path = join(cli.dir, 'foreign.sock')
  const run = await cli.launch('smart', foreign('postgres', path), { stop: { grace: '20s' } })
  await says(run, 'is ready')
  const client = connect(path)
  try {
    client.write('select')
    await says(run, 'serving')
    const stopping = cli.start(['stop', run])
    await says(run, 'waits for its clients')
    client.write('go on')
    const [row] = await once(client, 'data')
    expect(String(row)).toBe('one row')
    await stopping.ended
  } finally {
    client.destroy()
  }
  const [worker] = (await cli.fleet.json(['status', run])).workers
  expect(worker).toMatchObject({ exit: { code: 0, signal: null }, receipt: { outcome: 'gone' } })
  expect(await logs(run)).toContain('shut down')
})

const SAVED = ['root SAVED', 'root got SIGTERM', 'root is ready']

test.each([
  ['is replaced by its program', `exec ${saver}`, {}, SAVED, { code: 0 }],
  [
    'forwards by a trap: its program has the signal once',
    `trap 'kill -TERM $!' TERM; ${saver} & wait $!; wait $!; echo after $?`,
    {},
    ['after 0', ...SAVED],
    { code: 0 },
  ],
  [
    'has no trap: it ends at once, then its program has the signal, and saves within the grace',
    `${saver}; echo after`,
    {},
    SAVED,
    { code: null, signal: 'SIGTERM' },
  ],
  [
    'has a trap that does not forward: bash runs it when its program has ended, which nobody tells it to',
    `trap 'echo trapped' TERM; ${saver}; echo after`,
    { grace: '1s' },
    ['root is ready'],
    { code: null, signal: 'SIGKILL' },
  ],
  [
    'has a trap that does not forward, with `to: tree`: its program saves, then the trap runs',
    `trap 'echo trapped' TERM; ${saver}; echo after $?`,
    { to: 'tree' },
    ['after 0', ...SAVED, 'trapped'],
    { code: 0 },
  ],
])('a bash wrapper that %s', async (_, script, stop, lines, exit) => {
  const ended = await stopped('wrapper', ['bash', '-c', script], stop)
  expect(ended.lines).toEqual(lines)
  expect(ended.exit).toMatchObject(exit)
})

test('a root that double-forks and ends without a word to its daemon: that gets the signal then, once', async () => {
  const ended = await stopped('daemon', foreign('double-fork'))
  expect(ended.lines).toEqual(['daemon TERM 1', 'is ready', 'root ends'])
  expect(ended.exit).toMatchObject({ code: 0 })
})

test('a root that ignores the signal: SIGKILL after the grace, and nothing of its tree is left', async () => {
  const ended = await stopped('ignores', foreign('ignores'), { grace: '1s' })
  expect(ended.exit).toMatchObject({ code: null, signal: 'SIGKILL' })
  expect(ended.seconds).toBeGreaterThanOrEqual(1)
  expect(ended.seconds).toBeLessThan(10)
})
