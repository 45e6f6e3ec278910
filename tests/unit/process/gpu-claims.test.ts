/** Claims on GPUs against other users of the machine. */
import { randomUUID } from 'node:crypto'
import { createServer, type Server } from 'node:net'
import { userInfo } from 'node:os'
import { afterEach, expect, test } from 'vitest'
import { createGpuClaims, type GpuClaims } from '../../../src/process/gpu-claims.ts'

const ME = process.getuid!()
const STRANGER = 65_534
const closing: { close(): unknown }[] = []
afterEach(() => closing.splice(0).map((one) => one.close()))

function gpu(): { id: string; name: string; memoryBytes: null; uuid: string } {
  return { id: '0', name: 'GPU', memoryBytes: null, uuid: `GPU-${randomUUID()}` }
}
function taken(name: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject)
    closing.push(server)
    server.listen({ path: `\0${name}` }, () => resolve(server))
  })
}
function claims(...args: Parameters<typeof createGpuClaims>): GpuClaims {
  const made = createGpuClaims(...args)
  closing.push(made)
  return made
}

test('another user has it: told with the name, and held when that user gives it back', async () => {
  const one = gpu()
  const held = await taken(`troupe-gpu-${one.uuid}`)
  const own = claims([one], { ownerOf: async () => STRANGER })
  const lost = await own.take('a', ['0'])
  expect([...lost.keys()]).toEqual(['0'])
  expect(lost.get('0')).toMatch(/^(nobody|nogroup|uid 65534)$/)
  await new Promise((resolve) => held.close(resolve))
  expect((await own.take('a', ['0'])).size).toBe(0)
})

test('the owner ignores that user: it is held, and another agent of ours does not get it', async () => {
  const one = gpu()
  await taken(`troupe-gpu-${one.uuid}`)
  const ownerOf = async (name: string): Promise<number> => (name.endsWith(`.${ME}`) ? ME : STRANGER)
  const ignored = new Set([(await claims([one], { ownerOf }).take('x', ['0'])).get('0')!])
  const [first, second] = [claims([one], { ownerOf, ignored }), claims([one], { ownerOf, ignored })]
  expect((await first.take('a', ['0'])).size).toBe(0)
  expect(first.descriptorsOf('a')).toHaveLength(1)
  expect(await second.take('b', ['0'])).toEqual(new Map([['0', null]]))
  expect(userInfo().username).not.toBe([...ignored][0])
})

test('a name that is bound and that nobody listens at is no claim; one of which nothing can be told is', async () => {
  const one = gpu()
  await taken(`troupe-gpu-${one.uuid}`)
  expect((await claims([one], { ownerOf: async () => null }).take('a', ['0'])).size).toBe(0)
  const other = gpu()
  await taken(`troupe-gpu-${other.uuid}`)
  expect(await claims([other], { ownerOf: async () => 'unknown' as const }).take('a', ['0'])).toEqual(
    new Map([['0', null]]),
  )
})
