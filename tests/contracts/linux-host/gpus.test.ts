/** GPUs that two agents of one machine share. */
import { randomUUID } from 'node:crypto'
import { afterEach, describe, expect, test } from 'vitest'
import type { ProcessHost } from '../../../src/process/process-host.ts'
import type { ForkSpec } from '../../../src/protocol/launch/resolved.ts'
import { linuxHost, removeDirectory, sweepProcesses } from '../../support/linux-host.ts'
import { events, host, open, recordOf, shim, spoolDir, until } from '../../support/linux-host-suite.ts'
import { forkSpec, NO_BINDINGS } from '../../support/spec.ts'

describe('two agents on one machine that have the same GPUs', () => {
  const uuid = (): string => `GPU-${randomUUID()}`
  const gpus = (count: number, more: Partial<ForkSpec> = {}): ForkSpec =>
    forkSpec(['sleep', '600'], {
      resources: { cpus: 0, gpus: count, memoryBytes: 0, ports: 0, share: false },
      ...more,
    })
  const shared = { resources: { cpus: 0, gpus: 1, memoryBytes: 0, ports: 0, share: true } }
  let neighbour: ProcessHost
  let neighbourSpool: string
  const openBoth = async (): Promise<string[]> => {
    const bound = [uuid(), uuid()]
    const agentEnv = { ...(process.env as Record<string, string>), CUDA_VISIBLE_DEVICES: bound.join(',') }
    await open({ agentEnv })
    neighbourSpool = `${spoolDir}-neighbour`
    neighbour = linuxHost(neighbourSpool, shim, { agentEnv })
    await neighbour.recover()
    return bound
  }
  const leased = async (of: ProcessHost, spec: ForkSpec): Promise<string[]> =>
    (await of.prepare([spec]))[0]!.gpus
  const refused = (message: RegExp) =>
    expect.objectContaining({ code: 'GPU_ALLOC', message: expect.stringMatching(message) as string }) as Error
  afterEach(async () => {
    await neighbour.close()
    sweepProcesses(neighbourSpool)
    removeDirectory(neighbourSpool)
  })

  test('neither gives out what the other has given; what one frees the other has at once [A-19 +A7]', async () => {
    const [first, second] = await openBoth()
    expect(await leased(host, gpus(1))).toEqual([first])
    expect(await leased(neighbour, gpus(1))).toEqual([second])
    await expect(
      leased(neighbour, forkSpec(['true'], { ...gpus(1), forkId: forkSpec([], { n: 1 }).forkId })),
    ).rejects.toEqual(
      refused(/1 GPU asked for, 0 of 2 free on this node \(1 leased by other agents of this machine\)/),
    )
    expect(await leased(neighbour, forkSpec(['true'], { ...shared, n: 2 }))).toEqual([first])
    await neighbour.drop(forkSpec([], { n: 2 }).forkId)
    const { forkId } = gpus(1)
    await host.start(forkId, NO_BINDINGS)
    await host.killTree(forkId)
    await events.next('empty', forkId)
    expect(
      await leased(neighbour, forkSpec(['true'], { ...gpus(1), forkId: forkSpec([], { n: 3 }).forkId })),
    ).toEqual([first])
  })

  test('the agent is gone and its worker lives on: its GPU stays leased, until the tree has ended, with an agent or without [A-19 A-27]', async () => {
    const bound = await openBoth()
    const spec = gpus(2)
    await host.prepare([spec])
    await host.start(spec.forkId, NO_BINDINGS)
    const { child } = recordOf(spec.forkId)
    await host.close()
    await expect(leased(neighbour, gpus(1))).rejects.toEqual(refused(/2 leased by other agents/))
    process.kill(child!.pid, 'SIGKILL')
    await until(() => recordOf(spec.forkId).emptyAt !== null, 'the shim says empty')
    expect(await leased(neighbour, gpus(2))).toEqual(bound)
  })

  test('the shim is killed, not its tree: the agent holds on; an agent that comes after takes hold again [A-19]', async () => {
    const bound = await openBoth()
    const spec = gpus(2)
    await host.prepare([spec])
    await host.start(spec.forkId, NO_BINDINGS)
    process.kill(recordOf(spec.forkId).shim!.pid, 'SIGKILL')
    await events.next('exited', spec.forkId)
    await expect(leased(neighbour, gpus(1))).rejects.toEqual(refused(/2 leased/))
    await host.close()
    await open({
      agentEnv: { ...(process.env as Record<string, string>), CUDA_VISIBLE_DEVICES: bound.join(',') },
    })
    await expect(leased(neighbour, gpus(1))).rejects.toEqual(refused(/2 leased/))
    await host.killTree(spec.forkId)
    await events.next('empty', spec.forkId)
    expect(await leased(neighbour, gpus(2))).toEqual(bound)
  })

  test('a fork was only prepared when its agent died, and another got its GPU meanwhile: it is not started [A-19]', async () => {
    const bound = await openBoth()
    await host.prepare([gpus(1)])
    await host.close()
    expect(await leased(neighbour, gpus(1))).toEqual([bound[0]])
    await open({
      agentEnv: { ...(process.env as Record<string, string>), CUDA_VISIBLE_DEVICES: bound.join(',') },
    })
    await expect(host.start(gpus(1).forkId, NO_BINDINGS)).rejects.toEqual(refused(/leased by another agent/))
  })
})
