import { existsSync } from 'node:fs'
import { expect, test } from 'vitest'
import {
  findCgroups,
  killCgroup,
  oomKillsOfCgroup,
  pidsOfCgroup,
  removeCgroup,
} from '../../../src/process/cgroup.ts'

const cgroups = findCgroups('/a spool of this test')

test.runIf(cgroups !== null)(
  'one is made, is empty, and is swept when its fork is not there any more',
  () => {
    const [kept, stale] = [cgroups!.make('a.b.0.1')!, cgroups!.make('a.b.1.1')!]
    expect(cgroups!.make('a.b.0.1')).toBe(kept)
    expect(pidsOfCgroup(kept)).toEqual([])
    cgroups!.sweep((forkId) => forkId === 'a.b.0.1')
    expect([existsSync(kept), existsSync(stale)]).toEqual([true, false])
    removeCgroup(kept)
    expect(existsSync(kept)).toBe(false)
  },
)

test.runIf(cgroups !== null)('another spool’s are left alone', () => {
  const mine = cgroups!.make('a.b.0.1')!
  findCgroups('/another spool')!.sweep(() => false)
  expect(existsSync(mine)).toBe(true)
  removeCgroup(mine)
})

test('one that is not there: nothing is known, nothing is thrown', () => {
  const none = '/sys/fs/cgroup/no/such/cgroup'
  killCgroup(none)
  removeCgroup(none)
  expect([pidsOfCgroup(none), oomKillsOfCgroup(none)]).toEqual([null, null])
})
