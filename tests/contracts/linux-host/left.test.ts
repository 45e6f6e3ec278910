/** What a root that ended by itself left running, and which of it we ended: with real processes. */
import { expect, test } from 'vitest'
import { PYTHON } from '../../support/linux-host.ts'
import {
  events,
  host,
  living,
  open,
  programs,
  recordOf,
  start,
  until,
} from '../../support/linux-host-suite.ts'
import { forkSpec } from '../../support/spec.ts'
import { LEFT_SHOWN_MAX, type Left } from '../../../src/protocol/receipts.ts'
import { descendantsOf } from '../../../src/system/proc.ts'

/** The root has ended; what it left runs. */
async function leaves(mode: string, arg = '', more: Parameters<typeof forkSpec>[1] = {}): Promise<string> {
  const { forkId } = forkSpec([])
  await start(forkSpec([PYTHON, `${programs}leaves.py`, mode, arg], more))
  expect((await events.next('exited', forkId)).exit.code).toBe(0)
  return forkId
}
async function leftOf(forkId: string): Promise<Left | undefined> {
  return (await events.next('empty', forkId)).receipt.left
}
function commandOf(mode: string, arg = ''): string {
  return `${PYTHON} ${programs}leaves.py ${mode} ${arg}`.trim()
}

test.each([
  ['many', '1'],
  ['session', ''],
  ['zombie', ''],
])('one helper (%s): its pid, command and signal are told', async (mode, arg) => {
  await open()
  const forkId = await leaves(mode, arg)
  const shim = recordOf(forkId).shim!
  const [helper] = living(descendantsOf(shim.pid))
  host.signalTree(forkId, 'SIGTERM')
  expect(await leftOf(forkId)).toEqual({
    processes: [
      {
        pid: helper!.pid,
        command: expect.stringContaining(commandOf(mode).slice(0, 100)),
        signal: 'SIGTERM',
      },
    ],
    more: 0,
  })
})

test('many: some are named, and all are counted', async () => {
  await open()
  const forkId = await leaves('many', '9')
  host.signalTree(forkId, 'SIGTERM')
  const left = await leftOf(forkId)
  expect(left!.processes).toHaveLength(LEFT_SHOWN_MAX)
  expect(left!.more).toBe(9 - LEFT_SHOWN_MAX)
})

test('a helper that ignores the signal was ended by SIGKILL', async () => {
  await open()
  const forkId = await leaves('ignores')
  host.signalTree(forkId, 'SIGTERM')
  await host.killTree(forkId)
  expect((await leftOf(forkId))!.processes).toMatchObject([{ signal: 'SIGKILL' }])
})

test('a helper whose handler ends it: that it handled the signal is told', async () => {
  await open()
  const forkId = await leaves('handles')
  host.signalTree(forkId, 'SIGTERM')
  expect((await leftOf(forkId))!.processes).toMatchObject([{ signal: 'SIGTERM', handled: true }])
})

test('a helper that handles the signal and finishes its work was not ended by us', async () => {
  await open()
  const forkId = await leaves('finishes', '3')
  host.signalTree(forkId, 'SIGTERM')
  expect(await leftOf(forkId)).toBeUndefined()
})

test('a helper that ends before any signal is nobody', async () => {
  await open()
  expect(await leftOf(await leaves('soon', '0.5'))).toBeUndefined()
})

test('a program that ends and leaves nothing: no word', async () => {
  await open()
  const spec = forkSpec(['true'])
  await start(spec)
  expect(await leftOf(spec.forkId)).toBeUndefined()
})

test('the tree of a root that was told to end with it is none that it left', async () => {
  await open()
  const spec = forkSpec(['sh', '-c', 'sleep 3600 & sleep 3600'])
  await start(spec)
  host.signalTree(spec.forkId, 'SIGTERM')
  expect(await leftOf(spec.forkId)).toBeUndefined()
})

test.each([
  ['a newline', 'up\nload', String.raw`up\nload 3600`],
  ['an escape sequence', '\u001b[31mred\u0007', String.raw`\x1b[31mred\x07 3600`],
  ['a text that is turned around', 'a\u202eb', String.raw`a\u202eb 3600`],
])('a command line with %s is one line of plain characters', async (_, name, command) => {
  await open()
  const forkId = await leaves('named', name)
  host.signalTree(forkId, 'SIGTERM')
  expect((await leftOf(forkId))!.processes).toMatchObject([{ command }])
})

test('a long command line is cut', async () => {
  await open()
  const forkId = await leaves('named', 'x'.repeat(5000))
  host.signalTree(forkId, 'SIGTERM')
  expect((await leftOf(forkId))!.processes[0]!.command).toBe(`${'x'.repeat(119)}…`)
})

test('a process without a command line has its name in brackets', async () => {
  await open()
  const forkId = await leaves('nameless')
  host.signalTree(forkId, 'SIGTERM')
  expect((await leftOf(forkId))!.processes[0]!.command).toMatch(/^\[.+\]$/)
})

test('a helper of a rank is named; torchrun’s other processes are not', async () => {
  await open()
  const rank = `[ "$RANK" = 10 ] || exec '${PYTHON}' '${programs}leaves.py' many 1`
  const spec = forkSpec(['sh', '-c', rank], {
    kind: 'torchrun',
    nproc: 2,
    env: { PATH: `${programs}:${process.env['PATH']}` },
    torchrun: { nnodes: '1', nodeRank: 0, nproc: 2, hostsRendezvous: true },
  })
  const [prepared] = await host.prepare([spec])
  const rendezvous = { host: '127.0.0.1', port: prepared!.rendezvousPort! }
  await host.start(spec.forkId, { roles: {}, rendezvous })
  expect((await events.next('exited', spec.forkId)).exit.code).toBe(0)
  host.signalTree(spec.forkId, 'SIGTERM')
  expect(await leftOf(spec.forkId)).toEqual({
    processes: [
      {
        pid: expect.any(Number),
        command: expect.stringContaining(commandOf('many').slice(0, 100)),
        signal: 'SIGTERM',
      },
    ],
    more: 0,
  })
})

test('a service: what it left is counted at its exit, and named at the end', async () => {
  await open()
  const forkId = await leaves('many', '2', { kind: 'service' })
  expect((await events.next('exited', forkId)).exit.left).toBe(2)
  host.signalTree(forkId, 'SIGTERM')
  expect((await leftOf(forkId))!.processes).toHaveLength(2)
})

test('the agent dies after the signal: the next one knows whom it ended', async () => {
  await open()
  const forkId = await leaves('many', '1')
  const shim = recordOf(forkId).shim!
  host.signalTree(forkId, 'SIGTERM')
  await host.close()
  await until(() => living(descendantsOf(shim.pid)).length === 0, 'it has ended')
  await until(() => recordOf(forkId).emptyAt !== null, 'its shim says so')
  const [recovered] = await open()
  expect(recovered).toMatchObject({
    phase: 'gone',
    receipt: { left: { processes: [{ signal: 'SIGTERM' }] } },
  })
})

test('the agent dies between the signal and SIGKILL: the last signal counts', async () => {
  await open()
  const forkId = await leaves('ignores')
  host.signalTree(forkId, 'SIGTERM')
  await host.close()
  await open()
  await host.killTree(forkId)
  expect((await leftOf(forkId))!.processes).toMatchObject([{ signal: 'SIGKILL' }])
})
