import { createServer } from 'node:net'
import { expect, test } from 'vitest'
import { pickBusPort } from '../../../src/fleet/bus-port.ts'

test('picked at the same time, ports differ, are free, and lie below the ephemeral range', async () => {
  const ports = await Promise.all(Array.from({ length: 20 }, () => pickBusPort()))
  expect(new Set(ports).size).toBe(20)
  for (const port of ports) {
    expect(port).toBeGreaterThanOrEqual(10_000)
    expect(port).toBeLessThanOrEqual(32_767)
    const server = createServer()
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject).listen({ host: '127.0.0.1', port }, resolve)
    })
    await new Promise((resolve) => server.close(resolve))
  }
})

test('picked one after the other, ports do not lie in a row: fleets that start together do not meet', async () => {
  const ports: number[] = []
  for (let i = 0; i < 4; i++) ports.push(await pickBusPort())
  const steps = ports.slice(1).map((port, i) => Math.abs(port - ports[i]!))
  expect(Math.max(...steps)).toBeGreaterThan(5)
})
