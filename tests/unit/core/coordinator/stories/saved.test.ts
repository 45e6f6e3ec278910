/** A stop that is a checkpoint, as status and explain show it: yes, no, not yet, not known, nothing. */
import { expect, test } from 'vitest'
import { coordinatorWith } from '../../../../support/coordinator-steps.ts'
import { task } from '../../../../support/coordinator/roles.ts'

const SAVED = { at: 1_700_000_002_000, ms: 2000 }
const WORKER = 'trainer/0'

/** Told to stop; its agent has heard it and has not answered. */
function stopping(role: Record<string, unknown> = { stop: { saved: { log: 'checkpoint saved' } } }) {
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({ roles: { trainer: task(role) } })
  c.agents.get('n0')!.hold.add('kill')
  c.ask('stop', { run })
  const shown = () => {
    const { saved, save } = c.worker(run, WORKER)
    return { saved, save }
  }
  return { c, run, shown }
}
function reasonOf({ c, run }: ReturnType<typeof stopping>): string | null {
  return c.worker(run, WORKER).reason
}

test('it has not said so yet, and then it does: status has when and after how long, explain says it', () => {
  const story = stopping()
  const { c, run, shown } = story
  expect(shown()).toEqual({ saved: null, save: 'waiting' })
  c.report(run, WORKER, { phase: 'stopping', saved: null })
  expect(reasonOf(story)).toContain('has not said yet that it saved')
  c.report(run, WORKER, { saved: SAVED })
  expect(shown()).toEqual({ saved: SAVED, save: 'yes' })
  c.letGo('n0')
  expect(shown()).toEqual({ saved: SAVED, save: 'yes' })
  expect(reasonOf(story)).toContain('saved after 2.0 s')
  const { lines } = c.ask('explain', { run }).body as { lines: { text: string }[] }
  expect(lines.map(({ text }) => text).join('\n')).toContain('saved after 2.0 s')
})

test('it ends and did not say so: no, with what was not printed', () => {
  const story = stopping()
  const { c, run, shown } = story
  c.report(run, WORKER, { phase: 'stopping', saved: null })
  c.letGo('n0')
  expect(shown()).toEqual({ saved: null, save: 'no' })
  expect(reasonOf(story)).toContain('did not say that it saved ("checkpoint saved" was not printed)')
  expect(c.status(run).roles[0]!.savedLog).toBe('checkpoint saved')
})

test.each([SAVED, null])('a later coordinator says the same of %j', (saved) => {
  const { c, run, shown } = stopping()
  c.report(run, WORKER, { phase: 'stopping', saved })
  c.letGo('n0')
  const before = shown()
  c.failover()
  expect(shown()).toEqual(before)
})

test('its node is lost within the stop: not known, and not "no", also when it is ended without proof', () => {
  const story = stopping()
  const { c, run, shown } = story
  c.report(run, WORKER, { phase: 'stopping', saved: null })
  c.silence('n0')
  c.advance(120_000)
  expect(shown()).toEqual({ saved: null, save: 'unknown' })
  c.ask('stop', { run, force: true })
  c.advance(1000)
  expect(c.status(run).state).toBe('cancelled')
  expect(shown()).toEqual({ saved: null, save: 'unknown' })
  expect(reasonOf(story)).toContain('whether it saved is not known')
  c.failoverUnheard()
  expect(shown()).toEqual({ saved: null, save: 'unknown' })
})

test('it said so, and then its node is lost: that it saved stays known', () => {
  const { c, run, shown } = stopping()
  c.report(run, WORKER, { phase: 'stopping', saved: SAVED })
  c.silence('n0')
  c.advance(120_000)
  c.ask('stop', { run, force: true })
  c.advance(1000)
  expect(shown()).toEqual({ saved: SAVED, save: 'yes' })
})

test('its agent does not know (its log was removed): not known', () => {
  const { c, shown } = stopping()
  c.letGo('n0')
  expect(shown()).toEqual({ saved: null, save: 'unknown' })
})

test('it ended by itself before the stop reached it: nothing to say', () => {
  const { c, run, shown } = stopping()
  c.exit(run, WORKER, { code: 0 })
  expect(shown()).toEqual({ saved: null })
})

test('a role without it, and a worker that runs: nothing to say', () => {
  expect(stopping({}).shown()).toEqual({ saved: null })
  const c = coordinatorWith({ n0: {} })
  const run = c.launch({ roles: { trainer: task({ stop: { saved: { log: 'x' } } }) } })
  expect(c.worker(run, WORKER)).toMatchObject({ saved: null })
  expect(c.worker(run, WORKER).save).toBeUndefined()
})
