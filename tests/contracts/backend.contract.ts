/**
 * What every backend keeps (src/backends/backend.ts); run it against each: when it passes, the backend is
 * done.
 */
import { describe, expect, test } from 'vitest'
import type { Backend } from '../../src/backends/backend.ts'
import { resolveLaunch } from '../../src/protocol/launch/document.ts'

export function backendContract(name: string, make: () => Backend): void {
  const launch = resolveLaunch({
    apiVersion: 'troupe/v1',
    name: 'job',
    backend: name,
    roles: {
      trainer: { kind: 'torchrun', shape: '2x4', command: ['train.py'], resources: { gpus: 4 } },
      api: { kind: 'service', command: ['serve'], resources: { ports: 1 } },
    },
  })

  describe(`backend ${name}`, () => {
    test('its plan is pure: the same launch gives the same lines, which name every role and how many nodes it needs', async () => {
      const backend = make()
      const plan = backend.plan(launch)
      expect(backend.plan(launch)).toEqual(plan)
      expect(plan).toMatchObject({ backend: name, nodes: 2 })
      for (const role of ['trainer', 'api']) expect(plan.lines.join('\n')).toContain(role)
      expect(plan.lines.join('\n')).toContain('4 GPUs')
      await backend.close()
    })

    test('an allocation ends exactly once, release may come twice', async () => {
      const backend = make()
      const allocation = await backend.allocate(backend.plan(launch), new AbortController().signal)
      const ends: string[] = []
      void allocation.ended.then(({ why }) => ends.push(why))
      expect((await allocation.status()).text.length).toBeGreaterThan(0)
      await allocation.release()
      await allocation.release()
      expect((await allocation.ended).why).toBe('released')
      await Promise.resolve()
      expect(ends).toEqual(['released'])
      await backend.close()
    })

    test('its handle survives JSON, and brings the same allocation back', async () => {
      const backend = make()
      const { handle, nodes } = await backend.allocate(backend.plan(launch), new AbortController().signal)
      const again = await backend.recover(JSON.parse(JSON.stringify(handle)) as Record<string, unknown>)
      expect(again.handle).toEqual(handle)
      expect(again.nodes).toEqual(nodes)
      await again.release()
      await backend.close()
    })

    test('called off before it was given: the allocation is refused with that reason', async () => {
      const backend = make()
      const abort = new AbortController()
      abort.abort(new Error('called off'))
      await expect(backend.allocate(backend.plan(launch), abort.signal)).rejects.toThrow('called off')
      await backend.close()
    })
  })
}
