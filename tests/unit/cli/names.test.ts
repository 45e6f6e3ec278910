/** Which run the commands take for a word, and what they say about it. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { runDocument } from '../../../src/cli/document/run-document.ts'
import type { RunStatus } from '../../../src/protocol/shapes.ts'
import { cli } from '../../support/cli.ts'
import { exited, fakeFleet, runStatus, USER, worker, type FakeFleet } from '../../support/fake-fleet.ts'

let fleet: FakeFleet
beforeEach(async () => void (fleet = await fakeFleet()))
afterEach(() => fleet.close())

function on(line: string) {
  return cli(line.split(' '), { troupe: ({ runsOf, onChoice }) => fleet.as({ runsOf, onChoice }) })
}
function add(run: string, over: Partial<RunStatus> = {}): void {
  const isLive = over.state === undefined
  const workers = [worker('main', 0, isLive ? {} : exited(over.code ?? 0), run)]
  fleet.statuses.set(run, runStatus({ run, workers, ...(!isLive && { code: 0, endedAt: 5 }), ...over }))
}
function ordered(): unknown[] {
  return fleet.asked.filter(({ verb }) => ['stop', 'kill', 'signal'].includes(verb))
}
/** The runs that are told to end do so. */
function endsWhenTold(): void {
  fleet.onEnd = (_, { run }) => add(run, { state: 'cancelled', code: 130 })
}

const old = { state: 'succeeded', acceptedAt: 1 } as const

describe('a name of a live run and of one that has ended', () => {
  beforeEach(() => {
    add('job-000000000001', old)
    add('job-000000000002')
  })
  test.each([
    'status job',
    'logs job',
    'events job',
    'explain job',
    'signal job USR1',
    'wait job --for running',
  ])('%s: the live one, and it is said', async (line) => {
    const done = await on(line)
    expect(done.code).toBe(0)
    expect(done.stderr).toContain("'job' is job-000000000002 (running, of ann, ")
  })
  test.each(['stop', 'kill'])('%s: the live one ends', async (verb) => {
    endsWhenTold()
    const done = await on(`${verb} job`)
    expect(done).toMatchObject({ code: 0 })
    expect(done.stdout).toContain('job-000000000002/main/0  gone')
    expect(done.stderr).toContain("'job' is job-000000000002 (running")
  })
  test('-q and --json say nothing of it', async () => {
    expect(await on('status job -q')).toEqual({ code: 0, stdout: 'job-000000000002\n', stderr: '' })
    expect((await on('status job --json')).stderr).toBe('')
  })
})

describe.each([
  'stop train',
  'kill train',
  'signal train TERM',
  'stop train-',
  'kill train-e/main',
  'stop t/main/0',
])('%s, where only train-eval-4f992d3b3f53 runs', (line) => {
  test('nothing is ordered, exit 3, and the run is named', async () => {
    add('train-eval-4f992d3b3f53')
    const done = await on(line)
    expect(done).toMatchObject({ code: 3, stdout: '' })
    expect(done.stderr).toContain("did you mean 'train-eval-4f992d3b3f53'?")
    expect(ordered()).toEqual([])
  })
})

test.each(['stop', 'kill', 'signal'] as const)(
  'the library’s %s: no prefix of a name either',
  async (verb) => {
    add('train-eval-4f992d3b3f53')
    await expect(fleet.troupe[verb]('train', 'TERM' as never)).rejects.toMatchObject({
      code: 'WORKER_NOT_FOUND',
    })
    expect(ordered()).toEqual([])
  },
)

test('a name that looks like an id is found, and acted on', async () => {
  add('exp-202601011200-4f992d3b3f53')
  endsWhenTold()
  expect(await on('stop exp-202601011200')).toMatchObject({ code: 0 })
})

test('two live runs of one name: refused with state, user and age of each', async () => {
  add('job-000000000001')
  add('job-000000000002', { acceptedAt: Date.now() - 45_000 })
  const done = await on('stop job')
  expect(done).toMatchObject({ code: 2, stdout: '' })
  expect(done.stderr).toMatch(
    /job-000000000002 \(running, of ann, 4\d s old\), job-000000000001 \(running, of ann, /,
  )
  expect(ordered()).toEqual([])
})

describe('beside a newer run of bob’s', () => {
  beforeEach(() => {
    add('mine-000000000001', { acceptedAt: 10 })
    add('his-000000000002', { user: 'bob', acceptedAt: 20 })
  })
  test('last is one’s own; --user widens it, or names whose', async () => {
    expect((await on('status last -q')).stdout).toBe('mine-000000000001\n')
    expect((await on('status last -q --user')).stdout).toBe('his-000000000002\n')
    expect((await on('status last -q --user all')).stdout).toBe('his-000000000002\n')
    expect((await on('status -q --user=bob last')).stdout).toBe('his-000000000002\n')
    expect((await on(`status last -q --user=${USER}`)).stdout).toBe('mine-000000000001\n')
  })
  test('stop all ends one’s own', async () => {
    endsWhenTold()
    expect((await on('stop all')).stdout).toContain('mine-000000000001/main/0')
    expect(fleet.statuses.get('his-000000000002')!.state).toBe('running')
  })
})

test('a program called last runs under a name that is no word of the command line', () => {
  expect(runDocument(['/usr/bin/last'], {})).toMatchObject({ name: 'run-last' })
  expect(runDocument(['all'], {})).toMatchObject({ name: 'run-all' })
})

test.each(['last', 'all'])('run --name %s is refused', async (name) => {
  const done = await on(`run --name ${name} -- true`)
  expect(done).toMatchObject({ code: 2, stdout: '' })
  expect(done.stderr).toContain(`'${name}' cannot be a run's name`)
})
