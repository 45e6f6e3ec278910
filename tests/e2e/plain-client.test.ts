import { afterAll, beforeAll, expect, test } from 'vitest'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { python, root, run, startFleet, task, until, type Fleet } from '../support/fleet.ts'

let fleet: Fleet
beforeAll(async () => {
  fleet = await startFleet()
})
afterAll(() => fleet.end())

async function plain(
  how: string,
  verb: string,
  body: string,
  key = '',
  credentials = fleet.info.credentials.client,
) {
  const subject = `troupe.v1.${fleet.info.fleet}.${verb}.${fleet.info.user}`
  const ran = await run(
    python,
    [
      join(root, 'tests/support/programs/plain_client.py'),
      fleet.info.url,
      credentials,
      how,
      subject,
      ...(key ? [key] : []),
    ],
    { input: body },
  )
  if (ran.code !== 0) throw new Error(ran.stderr)
  return JSON.parse(ran.stdout)
}
function launch(body: string, key = '') {
  return plain('request', 'coordinator.launch', body, key)
}

test('a launch by request from a plain Python client runs and is answered in JSON [A-02 U-08]', async () => {
  const { reply } = await launch(task('plain', ['sh', '-c', 'exit 7']))
  expect(reply.run).toMatch(/^plain-/)
  expect((await fleet.troupe(['wait', reply.run])).code).toBe(7)
})

test('a launch by the durable subject runs, and is answered by key [FC-4]', async () => {
  const ack = await plain('durable', 'launch', task('durable', ['true']), 'durable-key-1')
  expect(ack.seq).toBeGreaterThan(0)
  const answer = await until('the launch is answered', async () => {
    const { reply } = await plain('request', 'coordinator.answer', JSON.stringify({ key: 'durable-key-1' }))
    return reply.run ? reply : null
  })
  expect((await fleet.troupe(['wait', answer.run, '--timeout', '30s'])).code).toBe(0)
})

test('the same key and spec by both doors gives one run; another spec is a conflict by both [FC-4 FC-8]', async () => {
  const first = await launch(task('keyed', ['true']), 'both-doors')
  const again = await launch(task('keyed', ['true']), 'both-doors')
  expect(again.reply).toEqual({ run: first.reply.run, existing: true })
  await plain('durable', 'launch', task('keyed', ['true']), 'both-doors')
  const other = await launch(task('keyed', ['false']), 'both-doors')
  expect(other.reply.code).toBe('KEY_CONFLICT')
  expect(other.headers['Nats-Service-Error-Code']).toBe('409')
  await plain('durable', 'launch', task('keyed', ['false']), 'both-doors')
  const rejected = await until('the conflict by the durable door is an event', async () => {
    const events = (await fleet.troupe(['events', 'all', '--json'])).stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line))
    return events.find((event) => event.what === 'rejected' && event.key === 'both-doors')
  })
  expect(rejected.fault.code).toBe('KEY_CONFLICT')
  const runs = await fleet.json(['ps', '--all'])
  expect(runs.filter((r: { name: string }) => r.name === 'keyed')).toHaveLength(1)
})

test.each([
  ['not JSON', '{"apiVersion": "troupe/v1", '],
  ['truncated msgpack sent as JSON', '\x83\xa4name'],
  ['an array', '[1,2]'],
  ['deep nesting', `{"a":${'['.repeat(5000)}${']'.repeat(5000)}}`],
])(
  'a launch body that is %s is refused with a fault, and the coordinator goes on [A-18]',
  async (_, body) => {
    const { reply, headers } = await launch(body)
    expect(reply.code).toMatch(/^(REQUEST_INVALID|SPEC_INVALID)$/)
    expect(headers['Nats-Service-Error']).toBeTruthy()
    expect((await launch(task('after', ['true']))).reply.run).toMatch(/^after-/)
  },
)

test('an observer may not launch: the server refuses the subject, and whoever asked is told at once, by the command line with 5', async () => {
  const began = performance.now()
  await expect(
    plain('request', 'coordinator.launch', task('no', ['true']), '', fleet.info.credentials.observer),
  ).rejects.toThrow(/permissions violation for publish/i)
  const local = await fleet.json(['context', 'show'])
  await writeFile(
    join(fleet.home, 'contexts', 'watching.json'),
    JSON.stringify({ ...local, name: 'watching', credentials: fleet.info.credentials.observer }),
  )
  const refused = await fleet.troupe(['launch', '--context', 'watching', '-f', '-', '--json'], {
    input: task('no', ['true']),
  })
  expect([refused.code, refused.stdout]).toEqual([5, ''])
  expect(JSON.parse(refused.stderr)).toMatchObject({ code: 'PERMISSION' })
  // an answer that never comes is given up after five seconds, a coordinator that is not there after more
  // than one
  expect(performance.now() - began).toBeLessThan(5000)
  expect((await fleet.json(['ps', '--all'])).some((r: { name: string }) => r.name === 'no')).toBe(false)
})
