/** No agent renews the fence of a fork. */
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import { host, misbehave, open, recordOf, start, until } from '../../support/linux-host-suite.ts'
import { forkSpec } from '../../support/spec.ts'

test('an agent that is frozen or dead renews no fence: the shim ends the tree, and the next agent is told by whom [I2 FC-4]', async () => {
  await open()
  const spec = forkSpec(misbehave('family'), {
    fenceAfterMs: 1500,
    stop: { signal: 'SIGTERM', graceMs: 0, order: 'parallel' },
  })
  await start(spec)
  const renewing = setInterval(() => host.renewFences(0), 100)
  await sleep(3000)
  clearInterval(renewing)
  expect(recordOf(spec.forkId).exit).toBeNull()
  await host.close()
  await until(() => recordOf(spec.forkId).emptyAt !== null, 'the tree is gone')
  const [found] = await open()
  expect(found).toMatchObject({
    phase: 'gone',
    exit: { signal: 'SIGKILL', fenced: true },
    receipt: { outcome: 'gone' },
  })
})
