import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { execa } from 'execa'
import { expect, test } from 'vitest'
import { root, run, type Ran } from '../support/fleet.ts'

async function npmStart(
  args: string[],
  watch: (text: string, interrupt: () => void) => void = () => {},
): Promise<Ran> {
  const child = execa(process.execPath, [join(root, 'scripts/start.mjs'), ...args], {
    cwd: root,
    stdin: 'ignore',
    stripFinalNewline: false,
    reject: false,
  })
  let said = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      said += String(chunk)
      watch(said, () => child.kill('SIGINT'))
    })
  const { exitCode, stdout, stderr } = await child
  return { code: exitCode ?? -1, stdout, stderr }
}

function accuracy(ran: Ran): number {
  return Number(/^test accuracy: (\d+\.\d) %$/m.exec(ran.stdout)?.[1])
}
async function homes(): Promise<string[]> {
  return (await readdir(tmpdir())).filter((name) => name.startsWith('troupe-start-'))
}

test(
  'npm start trains on two nodes, shows receipts and ends at 95 % or more; another seed gives another number [A-01 A-27 A-28 A-29 K-08 R-06 U-08]',
  { timeout: 400_000 },
  async () => {
    const before = await homes()
    const first = await npmStart([])
    expect(first.code, first.stdout + first.stderr).toBe(0)
    expect(accuracy(first)).toBeGreaterThanOrEqual(95)
    expect(first.stdout).toMatch(/^\[trainer:\d\] epoch 1: mean loss/m)
    expect(first.stdout).toMatch(/checkpoint sha256 [0-9a-f]{64}/)
    expect(first.stdout).toMatch(/^clocks: queue .* start .* run /m)
    expect(first.stdout).toMatch(/^start skew of trainer: \d+ ms$/m)
    expect(first.stdout.match(/rank \d \(pid \d+\): code 0$/gm)).toHaveLength(4)
    expect(first.stderr).toContain('nothing is left running')
    const second = await npmStart(['--seed', '2'])
    expect(second.code).toBe(0)
    expect(accuracy(second)).not.toBe(accuracy(first))
    expect(await homes()).toEqual(before)
  },
)

/** The commands that stand at the end, one a line. */
function nextLines({ stderr }: Ran): string[] {
  const lines = stderr.slice(stderr.indexOf('Next:')).trim().split('\n').slice(1)
  return lines.map((line) => line.trim())
}
function typed(line: string, env: NodeJS.ProcessEnv = process.env): Promise<Ran> {
  return run('bash', ['-c', line], { env, timeoutMs: 170_000 })
}

test(
  'what npm start prints as next runs as it is printed: at its end, and with --keep',
  { timeout: 600_000 },
  async () => {
    const kept = await npmStart(['--keep', '--epochs', '0'])
    const onKept = nextLines(kept)
    const home = /TROUPE_HOME=(\S+)/.exec(onKept[0]!)![1]!
    const verbs = onKept.map((line) => line.replace(/^.*bin\/troupe /, '').split(' ')[0])
    expect(verbs).toEqual(['status', 'logs', 'explain', 'run', 'down'])
    for (const line of onKept) expect({ line, code: (await typed(line)).code }).toEqual({ line, code: 0 })
    await rm(home, { recursive: true })

    const ended = nextLines(await npmStart(['--epochs', '0']))
    expect(ended[0]).toBe('npm start -- --keep')
    const own = await mkdtemp(join(tmpdir(), 'troupe-typed-'))
    for (const line of ended.slice(1)) {
      const ran = await typed(line, { ...process.env, TROUPE_HOME: own })
      expect({ line, code: ran.code, stderr: ran.code === 0 ? '' : ran.stderr }).toEqual({
        line,
        code: 0,
        stderr: '',
      })
    }
    await rm(own, { recursive: true })
  },
)

test('npm start with no epochs ends at about 10 %, exit 1, with the reason', async () => {
  const ran = await npmStart(['--epochs', '0'])
  expect(ran.code).toBe(1)
  expect(accuracy(ran)).toBeGreaterThan(2)
  expect(accuracy(ran)).toBeLessThan(25)
  expect(ran.stdout).toContain('below the aim')
})

test.each([
  ['while the fleet starts', 'starting a bus'],
  ['while the job starts', 'launched examples'],
  ['in the training', 'epoch 2: mean loss'],
])('Ctrl-C %s leaves nothing behind and says so', async (_, when) => {
  const before = await homes()
  let sent = false
  const ran = await npmStart([], (text, interrupt) => {
    if (sent || !text.includes(when)) return
    sent = true
    interrupt()
  })
  expect(ran.code).toBe(130)
  expect(ran.stderr).toContain('nothing is left running')
  expect(await homes()).toEqual(before)
})

test('a wrong flag of npm start is usage, exit 2, and starts nothing', async () => {
  const ran = await npmStart(['--epoch', '3'])
  expect(ran.code).toBe(2)
  expect(ran.stderr).toContain('--epochs N')
})
