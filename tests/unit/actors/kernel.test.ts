/** The kernel: order, the persist barrier, the door, shedding. */
import { expect, test } from 'vitest'
import { runActor, type ActorHandle } from '../../../src/actors/kernel.ts'

type Command = { do: string } | { persist: string[] }

function actorWith(
  options: {
    mailboxMax?: number
    mayPerform?: () => boolean
    onPerform?: (what: string, actor: () => ActorHandle<Command[]>) => void
  } = {},
) {
  const done: string[] = []
  const writes: { ops: string[]; resolve: () => void; reject: (error: Error) => void }[] = []
  const deposed: unknown[] = []
  const actor: ActorHandle<Command[]> = runActor<number, Command[], Command, string>({
    state: 0,
    step: (state, event) => [state + 1, event],
    perform(command) {
      const what = (command as { do: string }).do
      done.push(what)
      options.onPerform?.(what, () => actor)
    },
    persistOf: (command) => ('persist' in command ? command.persist : null),
    persist: (ops) => new Promise((resolve, reject) => writes.push({ ops, resolve, reject })),
    onDeposed: (error) => deposed.push(error),
    ...(options.mayPerform !== undefined && { mayPerform: options.mayPerform }),
    ...(options.mailboxMax !== undefined && { mailboxMax: options.mailboxMax }),
  })
  return { actor, done, writes, deposed }
}
function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

test('commands behind a persist wait for its acknowledgement, those of later steps too', async () => {
  const { actor, done, writes } = actorWith()
  actor.post([{ do: 'a' }, { persist: ['x'] }, { do: 'b' }])
  actor.post([{ do: 'c' }])
  expect(done).toEqual(['a'])
  writes[0]!.resolve()
  await settled()
  expect(done).toEqual(['a', 'b', 'c'])
})

test('persists that meet while one is in flight are joined into one; never two in flight', async () => {
  const { actor, done, writes } = actorWith()
  for (const x of ['1', '2', '3']) actor.post([{ persist: [x] }, { do: x }])
  expect(writes.map(({ ops }) => ops)).toEqual([['1']])
  writes[0]!.resolve()
  await settled()
  expect(done).toEqual(['1'])
  expect(writes.map(({ ops }) => ops)).toEqual([['1'], ['2', '3']])
  writes[1]!.resolve()
  await settled()
  expect(done).toEqual(['1', '2', '3'])
})

test('a persist is refused: what waited is never performed, and nothing is stepped any more', async () => {
  const { actor, done, writes, deposed } = actorWith()
  actor.post([{ persist: ['x'] }, { do: 'b' }])
  writes[0]!.reject(new Error('another leads'))
  await settled()
  actor.post([{ do: 'c' }])
  expect(done).toEqual([])
  expect(deposed.length).toBe(1)
  expect(actor.halted).toBe(true)
})

test('the door is closed: commands wait in order and leave on flush; a persist is written all the same', async () => {
  let open = false
  const { actor, done, writes } = actorWith({ mayPerform: () => open })
  actor.post([{ persist: ['x'] }, { do: 'a' }, { do: 'b' }])
  writes[0]!.resolve()
  await settled()
  expect(done).toEqual([])
  open = true
  actor.flush()
  expect(done).toEqual(['a', 'b'])
})

test('an event that a performance brings back waits its turn', () => {
  const { actor, done } = actorWith({
    onPerform: (what, self) => what === 'a' && self().post([{ do: 'after' }]),
  })
  actor.post([{ do: 'a' }, { do: 'b' }])
  expect(done).toEqual(['a', 'b', 'after'])
})

test('at the watermark an offer is refused, a result never', () => {
  const { actor } = actorWith({ mailboxMax: 2 })
  actor.post([{ persist: ['x'] }, { do: 'a' }])
  expect(actor.offer([{ do: 'b' }])).toBe(false)
  actor.post([{ do: 'c' }])
  expect(actor.halted).toBe(false)
})

test('thousands of commands behind one persist leave in order', async () => {
  const { actor, done, writes } = actorWith()
  actor.post([{ persist: ['x'] }, ...Array.from({ length: 5000 }, (_, i) => ({ do: String(i) }))])
  writes[0]!.resolve()
  await settled()
  expect(done).toEqual(Array.from({ length: 5000 }, (_, i) => String(i)))
})
