/** What is told with an exit: the code, the step of the set-up, the last lines. */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { directory, events, host, misbehave, open, start } from '../../support/linux-host-suite.ts'
import { forkSpec } from '../../support/spec.ts'

describe('what is told with an exit', () => {
  test('the last 50 lines of stderr, whatever else was written [A-34]', async () => {
    await open()
    const spec = forkSpec([
      'sh',
      '-c',
      'i=0; while [ $i -lt 200 ]; do echo "line $i" >&2; echo out; i=$((i+1)); done; printf "no newline" >&2; exit 4',
    ])
    await start(spec)
    const { stderrTail, exit } = await events.next('exited', spec.forkId)
    expect(exit.code).toBe(4)
    expect(stderrTail).toHaveLength(50)
    expect(stderrTail.at(-1)).toBe('no newline')
    expect(stderrTail[0]).toBe('line 151')
    await events.next('empty', spec.forkId)
  })

  test('a line of 1 MB: its last 16 KiB and no more [A-34 FC-13]', async () => {
    await open()
    const spec = forkSpec(['sh', '-c', 'head -c 1000000 /dev/zero | tr "\\0" x >&2; exit 1'])
    await start(spec)
    const { stderrTail } = await events.next('exited', spec.forkId)
    expect(stderrTail).toEqual(['x'.repeat(16 * 1024)])
    await events.next('empty', spec.forkId)
  })

  test('`> /dev/stderr` in the middle of a log: the lines after it are told [A-34]', async () => {
    await open()
    const spec = forkSpec(misbehave('truncate-stderr'))
    await start(spec)
    expect((await events.next('exited', spec.forkId)).stderrTail).toEqual(['x', 'last'])
    await events.next('empty', spec.forkId)
  })

  test('the exit of the last process of a pipe that a shell masks is the shell’s own: the program is told, not a helper [A-21 +A2]', async () => {
    await open()
    const spec = forkSpec(misbehave('exit', '42'))
    await start(spec)
    expect((await events.next('exited', spec.forkId)).exit.code).toBe(42)
    await events.next('empty', spec.forkId)
  })

  test('a command that is not there: 127, and its name in the last lines [A-21 FC-24]', async () => {
    await open()
    const spec = forkSpec(['no-such-program', 'x'])
    expect((await start(spec)).pid).toBeNull()
    expect(await events.next('exited', spec.forkId)).toMatchObject({
      exit: { code: 127 },
      stderrTail: ['troupe: no-such-program: No such file or directory'],
    })
    await events.next('empty', spec.forkId)
  })
})

test.each([
  ['lines as another system ends them', '#!/bin/sh\r\necho hi\r\n', '/bin/sh\\r'],
  ['an interpreter that is not there', '#!/no/such/interp\n', '/no/such/interp'],
])('a script with %s: 127, and the last line names its interpreter', async (_, text, interpreter) => {
  await open()
  const file = join(directory, 'job.sh')
  writeFileSync(file, text, { mode: 0o755 })
  const spec = forkSpec([file])
  await start(spec)
  const { exit, stderrTail } = await events.next('exited', spec.forkId)
  expect(exit.code).toBe(127)
  expect(stderrTail.at(-1)).toBe(`'${interpreter}' (first line of ${file}) is not there`)
  await events.next('empty', spec.forkId)
})

test('the root of a service ends and a process of it runs on: its exit says so; a task’s does not', async () => {
  await open()
  const daemon = ['sh', '-c', 'setsid sleep 60 & exit 0']
  for (const [kind, left] of [
    ['service', 1],
    ['task', undefined],
  ] as const) {
    const spec = forkSpec(daemon, { kind, index: left ?? 0 })
    await start(spec)
    const { exit } = await events.next('exited', spec.forkId)
    expect(exit).toMatchObject({ code: 0 })
    expect(exit.left).toBe(left)
    await host.killTree(spec.forkId)
    await events.next('empty', spec.forkId)
  }
})

test('a set-up that fails is told from a command that fails, with the step, also by an agent that comes after [A-04]', async () => {
  await open()
  const [failed, killed, passed] = [
    forkSpec(['true'], { setup: 'true\nls /no/such/venv', n: 0 }),
    forkSpec(['true'], { setup: 'kill -KILL $$', n: 1 }),
    forkSpec(['sh', '-c', 'exit 2'], { setup: 'true', n: 2 }),
  ]
  const told = {
    [failed.forkId]: { code: 2, signal: null, oom: false, unknown: null, inSetUp: 'ls /no/such/venv' },
    [killed.forkId]: {
      code: null,
      signal: 'SIGKILL',
      oom: expect.toBeOneOf([false, null]) as unknown,
      unknown: null,
      inSetUp: '',
    },
    [passed.forkId]: { code: 2, signal: null, oom: false, unknown: null },
  }
  for (const spec of [failed, killed, passed]) {
    await start(spec)
    expect((await events.next('exited', spec.forkId)).exit).toEqual(told[spec.forkId])
  }
  await host.close()
  for (const { spec, exit } of await open())
    expect({ ...exit, exitedAt: 0 }).toEqual({ ...told[spec.forkId], exitedAt: 0 })
})

test('a script whose interpreter may not be executed: 126, and it is named', async () => {
  await open()
  const script = join(directory, 'script')
  writeFileSync(script, '#!/etc/passwd\n', { mode: 0o755 })
  const spec = forkSpec([script])
  await start(spec)
  const { exit, stderrTail } = await events.next('exited', spec.forkId)
  expect([exit.code, stderrTail.at(-1)]).toEqual([
    126,
    `'/etc/passwd' (first line of ${script}) may not be executed`,
  ])
  await events.next('empty', spec.forkId)
})

test('a program for another machine: the shell reads it, and the last line names both machines', async () => {
  await open()
  const foreign = join(directory, 'foreign')
  const bytes = readFileSync('/bin/sh')
  bytes.writeUInt16LE(process.arch === 'x64' ? 183 : 62, 18)
  writeFileSync(foreign, bytes, { mode: 0o755 })
  const spec = forkSpec([foreign])
  await start(spec)
  const { exit, stderrTail } = await events.next('exited', spec.forkId)
  expect(exit.code).not.toBe(0)
  expect(stderrTail.at(-1)).toMatch(/is made for \w+, and this is \w+$/)
  await events.next('empty', spec.forkId)
})

test('a service that ends with 0 and spoke on stdout alone: its last words are those', async () => {
  await open()
  const spec = forkSpec(['sh', '-c', 'echo listening; exit 0'], { kind: 'service' })
  await start(spec)
  expect((await events.next('exited', spec.forkId)).stderrTail).toEqual(['listening'])
  await events.next('empty', spec.forkId)
})
