/**
 * Every test file fails if a process that it started is still there when it ends: all of them inherit a
 * marker in their environment. Programs of tests that clear their environment are looked for by the tests
 * themselves.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, expect } from 'vitest'

const id = `${process.pid}-${Date.now()}-${Math.random().toString(36).slice(2)}`
const marker = `TROUPE_TEST_FILE=${id}`
process.env['TROUPE_TEST_FILE'] = id

function leftovers(): string[] {
  const found: string[] = []
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry) || Number(entry) === process.pid) continue
    try {
      const stat = readFileSync(`/proc/${entry}/stat`, 'latin1')
      if (stat.slice(stat.lastIndexOf(')') + 2, stat.lastIndexOf(')') + 3) === 'Z') continue
      if (!readFileSync(`/proc/${entry}/environ`, 'latin1').split('\0').includes(marker)) continue
      const command = readFileSync(`/proc/${entry}/cmdline`, 'latin1').replaceAll('\0', ' ').trim()
      if (!command.includes('esbuild')) found.push(`${entry} ${command}`)
    } catch {
      // it ended while we looked
    }
  }
  return found
}

afterAll(async () => {
  if (process.platform !== 'linux') return
  let left = leftovers()
  for (let i = 0; i < 40 && left.length > 0; i++) {
    await sleep(50)
    left = leftovers()
  }
  expect(left, 'processes that this test file left running').toEqual([])
})
