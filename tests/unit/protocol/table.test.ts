import { readdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { describe, expect, test } from 'vitest'
import { ORDER_VERBS, REQUEST_VERBS, STREAMS, TABLE, type Row } from '../../../src/protocol/table.ts'

const rows = Object.entries<Row>(TABLE)
const src = resolve(import.meta.dirname, '../../../src')
/** Parts that serve requests, publish reports and append. */
const PARTS = ['actors', 'core', 'transport', 'client']
const code = PARTS.flatMap((part) =>
  readdirSync(join(src, part), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .map((file) => readFileSync(join(src, part, file), 'utf8')),
).join('\n')

/** A row that lists no verb of the coordinator or of a node is named where it is served or published. */
function neglected(table: readonly [string, Row][], text: string): string[] {
  return table
    .map(([name]) => name)
    .filter((name) => !/^(coordinator|node)\./.test(name) && !text.includes(`'${name}'`))
}

test('each row is served or published: the verbs by the compiler, all others under their name', () => {
  expect(neglected(rows, code)).toEqual([])
})

test('a row that nobody serves or publishes is named', () => {
  const more: [string, Row][] = [
    ['worker.progress', { ...TABLE['worker.health'], subject: 'worker.{run}.{role}.{index}.progress' }],
    ['event.pool', { ...TABLE['event.node'], subject: 'event._._._.pool.{node}' }],
  ]
  expect(neglected([...rows, ...more], code)).toEqual(['worker.progress', 'event.pool'])
})

test('the verbs of coordinator and nodes are those of their rows, and each is a request', () => {
  expect(REQUEST_VERBS).toContain('launch')
  expect(ORDER_VERBS).toContain('prepare')
  for (const name of [
    ...REQUEST_VERBS.map((verb) => `coordinator.${verb}`),
    ...ORDER_VERBS.map((verb) => `node.${verb}`),
  ])
    expect([name, rows.find(([known]) => known === name)?.[1].kind]).toEqual([name, 'request'])
})

describe('streams', () => {
  const appended = rows.filter(([, { kind }]) => !['request', 'gather', 'beat'].includes(kind))

  test.each(appended)('%s lies in the one stream of its kind', (_, row) => {
    const takers = Object.values(STREAMS).filter(
      ({ kind, token }) => kind === row.kind || token === row.subject.split('.')[0],
    )
    expect(takers.map(({ kind, token }) => [kind, token])).toEqual([[row.kind, row.subject.split('.')[0]]])
  })
})
