import { expect, test } from 'vitest'
import {
  logHeaders,
  readLogHeaders,
  recordHeaders,
  sourceOfToken,
  sourceToken,
  type LogRecord,
} from '../../../src/protocol/log-records.ts'

const FORK = 'run.trainer.0.1'

test('a chunk says fork, offset and, once its file was truncated, the generation', () => {
  expect(readLogHeaders(logHeaders({ forkId: FORK, generation: 0, offset: 7 }))).toEqual({
    forkId: FORK,
    generation: 0,
    offset: 7,
    record: null,
  })
  expect(readLogHeaders(logHeaders({ forkId: FORK, generation: 2, offset: 0 }))).toEqual({
    forkId: FORK,
    generation: 2,
    offset: 0,
    record: null,
  })
  expect(logHeaders({ forkId: FORK, generation: 0, offset: 7 })).not.toHaveProperty('Troupe-Generation')
})

test.each<LogRecord>([
  { kind: 'truncated', generation: 1, bytes: 40 },
  { kind: 'lost', generation: 0, from: 1, to: 9, why: 'über the cap' },
  { kind: 'limited', generation: 0, offset: 5, bytesPerSecond: 1e6 },
  { kind: 'final', generation: 0, bytes: 9, lost: [[1, 9]] },
])('a record is read as it was written: %j', (record) => {
  expect(readLogHeaders(recordHeaders(FORK, record))).toMatchObject({ forkId: FORK, offset: null, record })
})

test.each<Record<string, string>>([
  {},
  { 'Troupe-Fork': FORK },
  { 'Troupe-Fork': FORK, 'Troupe-Offset': '-1' },
  { 'Troupe-Fork': FORK, 'Troupe-Record': '{' },
  { 'Troupe-Fork': FORK, 'Troupe-Record': '{"kind":"new"}' },
])('headers that are none are null: %j', (headers) => {
  expect(readLogHeaders(headers)).toBeNull()
})

test('a source with torch’s restart number is one token of a subject', () => {
  expect(sourceToken('r0.1-stdout')).toBe('r0_1-stdout')
  expect(sourceOfToken(sourceToken('r0.1-stdout'))).toBe('r0.1-stdout')
})
