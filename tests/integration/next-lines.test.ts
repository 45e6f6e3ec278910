/** What the program prints as what to type next is typed, on a fleet, as it is printed. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run, startFleet, task, TROUPE, until, type Fleet } from '../support/fleet.ts'
import { TYPED, type Typed } from '../support/next-lines.ts'

let fleet: Fleet
let dir: string
let env: NodeJS.ProcessEnv
beforeAll(async () => {
  fleet = await startFleet()
  dir = await mkdtemp(join(tmpdir(), 'troupe-next-'))
  await writeFile(join(dir, 'job.yaml'), task('typed', ['true']))
  env = { ...fleet.env, PATH: `${dirname(TROUPE)}${delimiter}${fleet.env['PATH']}` }
})
afterAll(async () => {
  await rm(dir, { recursive: true, force: true })
  await fleet.end()
})

async function launched(command: string[]): Promise<string> {
  return (await fleet.troupe(['launch', '-q', '-f', '-'], { input: task('next', command) })).stdout.trim()
}
async function ended(): Promise<string> {
  const id = await launched(['sh', '-c', 'echo out; echo err >&2'])
  await fleet.troupe(['wait', id])
  return id
}

/** The command with its words in place of `…` and of capitals. */
async function filled(command: string, words: readonly string[]): Promise<string> {
  const rest = [...words]
  const line = command.replaceAll(/…|\b[A-Z]{3,}\b/g, () => rest.shift()!)
  const parts: Record<string, () => Promise<string>> = {
    $live: () => launched(['sleep', '600']),
    $ended: ended,
    $file: async () => join(dir, 'job.yaml'),
    $dir: async () => join(dir, 'logs'),
  }
  let typed = line
  for (const [name, part] of Object.entries(parts))
    if (typed.includes(name)) typed = typed.replace(name, await part())
  return typed
}

async function leaves(line: string, begun: RegExp): Promise<number | null> {
  const child = spawn('bash', ['-c', `exec ${line}`], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => (said += String(chunk)))
  const closed = once(child, 'close')
  await until(`${line} has begun`, () => begun.test(said), 60_000)
  child.kill('SIGTERM')
  return (await closed)[0]
}

const lines = Object.entries(TYPED).flatMap(([command, { words = [[]], ...how }]) =>
  words.map((each): [string, readonly string[], Typed] => [command, each, how]),
)

test.each(lines)('%s (%j)', async (command, words, { stays }) => {
  const line = await filled(command, words)
  if (stays !== undefined) return expect(await leaves(line, stays)).toBe(0)
  const { code, stderr } = await run('bash', ['-c', line], { env, cwd: dir })
  expect({ line, code, stderr: code === 0 ? '' : stderr }).toEqual({ line, code: 0, stderr: '' })
  if (words.some((word) => word.startsWith('$live'))) await fleet.troupe(['kill', 'all'])
})
