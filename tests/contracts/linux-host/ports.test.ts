/** Ports that are leased to a worker. */
import { connect } from 'node:net'
import { expect, test } from 'vitest'
import { events, host, misbehave, open } from '../../support/linux-host-suite.ts'
import { forkSpec, NO_BINDINGS } from '../../support/spec.ts'

test('a leased port can be bound by the program at once, and is not given away while it runs [A-21]', async () => {
  await open({ portRange: [20_000, 20_001] })
  const resources = { cpus: 0, gpus: 0, memoryBytes: 0, ports: 1, share: false }
  const spec = forkSpec(misbehave('listen'), {
    resources,
    ready: { kind: 'tcp', port: 0, timeoutMs: 5000, intervalMs: 100, attemptTimeoutMs: 1000, failures: 3 },
  })
  const [prepared] = await host.prepare([spec])
  await host.start(spec.forkId, NO_BINDINGS)
  expect(await events.next('probe', spec.forkId, (event) => event.ready)).toMatchObject({
    ready: true,
    reason: null,
  })
  const socket = connect(prepared!.ports[0]!, '127.0.0.1')
  await new Promise((resolve, reject) => socket.once('connect', resolve).once('error', reject))
  socket.destroy()
  const [other] = await host.prepare([forkSpec(['true'], { n: 1, resources })])
  expect(other!.ports).not.toEqual(prepared!.ports)
  await expect(host.prepare([forkSpec(['true'], { n: 2, resources })])).rejects.toMatchObject({
    code: 'PORT_ALLOC',
  })
  await host.killTree(spec.forkId)
  await events.next('empty', spec.forkId)
})
