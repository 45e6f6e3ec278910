import { resolve } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'
import { aboveSecurityFloor, parseVersion, SECURE_TEXT } from '../../../../src/transport/nats/versions.ts'

const VERDICTS: Record<string, boolean> = {
  '2.11.9': false,
  '2.12.11': false,
  '2.12.12': true,
  '2.12.30': true,
  '2.13.9': false,
  '2.14.2': false,
  '2.14.3': true,
  '2.15.2': true,
  '3.0.0': true,
}

test('the security floor: 2.12.12 and later 2.12, 2.14.3 and above; set-up judges the same', async () => {
  const setUp = resolve(import.meta.dirname, '../../../../scripts/setup/nats-server.mjs')
  const { aboveFloor } = (await import(pathToFileURL(setUp).href)) as {
    aboveFloor(version: string): boolean
  }
  const judged = (judge: (version: string) => boolean) =>
    Object.fromEntries(Object.keys(VERDICTS).map((version) => [version, judge(version)]))
  expect(judged((version) => aboveSecurityFloor(parseVersion(version)))).toEqual(VERDICTS)
  expect(judged(aboveFloor)).toEqual(VERDICTS)
})

test('people read the floor in words', () => {
  expect(SECURE_TEXT).toBe('2.12.12 or a later 2.12, or 2.14.3 and above')
})
