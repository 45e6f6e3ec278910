/** What a worker has of a shell beside its environment. */
import { readFileSync } from 'node:fs'
import { transformSync } from 'esbuild'
import { expect, test } from 'vitest'
import { readShellState, shellWords } from '../../../src/system/shell-state.ts'
import { CallerShell } from '../../../src/protocol/launch/resolved.ts'
import { run } from '../../support/fleet.ts'

const source = readFileSync(new URL('../../../src/system/shell-state.ts', import.meta.url), 'utf8')
const SHOW = `${transformSync(source, { loader: 'ts' }).code}
  console.log(JSON.stringify(readShellState(process.env)))`

/** A shell with these words asks a Node program that began as bin/troupe does. */
async function shellState(words: string, started = 'TROUPE_NOFILE=$(ulimit -Sn)'): Promise<CallerShell> {
  const script = `${words}; ${started} "$0" --input-type=module -e "$1"; exit $?`
  const { stdout, stderr } = await run('sh', ['-c', script, process.execPath, SHOW])
  expect(stderr).toBe('')
  return CallerShell.parse(JSON.parse(stdout))
}

test('umask and soft limits are those of the shell, and not what Node makes of them', async () => {
  const state = await shellState(
    'umask 027; ulimit -Sn 777; ulimit -Sc 0; ulimit -Ss 4096; ulimit -Sv 99999999',
  )
  expect(state).toMatchObject({
    umask: '0027',
    limits: { nofile: 777, core: 0, stack: 4096 * 1024, as: 99999999 * 1024, cpu: null },
  })
})

test('a limit of open files that a shell has set as high as it may is that one', async () => {
  expect((await shellState('ulimit -n 900')).limits).toMatchObject({ nofile: 900 })
})

test.each(['', 'TROUPE_NOFILE=many'])(
  'started otherwise (%s), nothing is known of open files',
  async (started) => {
    const { limits } = await shellState('ulimit -Sn 777', started)
    expect(Object.keys(limits!)).toEqual(expect.arrayContaining(['core', 'nproc', 'memlock']))
    expect(limits).not.toHaveProperty('nofile')
  },
)

test('as high as it may be, and started by a Node program: that one has raised it', () => {
  const hard = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1'))![1]!
  expect(readShellState({ TROUPE_NOFILE: hard })!.limits).not.toHaveProperty('nofile')
  expect(readShellState({ TROUPE_NOFILE: '20' })!.limits).toHaveProperty('nofile', 20)
})

test.each([
  [{}, undefined, '-1 '],
  [{ TROUPE_NOFILE: '1024' }, undefined, '-1 7:1024,'],
  [{ TROUPE_NOFILE: 'unlimited' }, undefined, '-1 7:-1,'],
  [{ TROUPE_NOFILE: '1024' }, { umask: '0027' }, '23 7:1024,'],
  [{ TROUPE_NOFILE: '1024' }, { umask: '0', limits: { nofile: 5, core: null, as: 0 } }, '0 7:5,4:-1,9:0,'],
] as const)('the agent’s %j and a caller’s %j: a shim is told %j', (env, caller, words) => {
  expect(shellWords(env, caller)).toBe(words)
})
