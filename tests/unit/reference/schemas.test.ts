import { expect, test } from 'vitest'
import { pages } from '../../../src/reference/docs.ts'

type Json = { [key: string]: Json } | Json[] | string | number | boolean | null
const files = new Map(
  pages()
    .filter(({ path }) => path.startsWith('docs/schemas/'))
    .map(({ path, text }) => [path.slice('docs/schemas/'.length), JSON.parse(text) as Json]),
)
const shapes = (files.get('shapes.json') as { $defs: Record<string, Json> }).$defs

interface Place {
  file: string
  path: string
  schema: { [key: string]: Json }
}
function* walk(file: string, json: Json, path = '#'): Generator<Place> {
  if (typeof json !== 'object' || json === null) return
  if (!Array.isArray(json)) yield { file, path, schema: json }
  for (const [key, child] of Object.entries(json)) yield* walk(file, child, `${path}/${key}`)
}
const places = [...files].flatMap(([file, json]) => [...walk(file, json)])

/** A class of another language: an object with fields, or a choice of words. */
function isClass({ type, properties, enum: words }: Place['schema']): boolean {
  return (type === 'object' && Object.keys(properties ?? {}).length > 1) || words !== undefined
}

test('every reference leads to something', () => {
  const references = places.flatMap(({ file, schema }) =>
    typeof schema['$ref'] === 'string' ? [{ file, to: schema['$ref'] }] : [],
  )
  expect(references.length).toBeGreaterThan(50)
  const broken = references.filter(({ file, to }) => {
    const [other, pointer] = to.split('#') as [string, string]
    const start = files.get(other === '' ? file : other)
    const found = pointer
      .split('/')
      .slice(1)
      .reduce<Json | undefined>((at, key) => (at as Record<string, Json> | undefined)?.[key], start)
    return found === undefined
  })
  expect(broken).toEqual([])
})

test('a shape that several messages share stands once: no two places spell out the same', () => {
  const spelt = new Map<string, string[]>()
  for (const { file, path, schema } of places) {
    // a message is its own, even if another has the same fields
    if (!isClass(schema) || path === '#' || file === 'launch.schema.json') continue
    const text = JSON.stringify(schema)
    spelt.set(text, [...(spelt.get(text) ?? []), `${file} ${path}`])
  }
  expect([...spelt.values()].filter((where) => where.length > 1)).toEqual([])
})

test('there is one ForkReport: in the shapes, and all others refer to it, an event of a worker too', () => {
  const own = places.filter(({ schema }) => Object.hasOwn(Object(schema['properties']), 'logsFinal'))
  expect(own.map(({ file, path }) => `${file} ${path}`)).toEqual(['shapes.json #/$defs/ForkReport'])
  const users = places
    .filter(({ schema }) => schema['$ref'] === 'shapes.json#/$defs/ForkReport')
    .map(({ file }) => file)
  expect(users).toEqual(
    expect.arrayContaining([
      'event.worker.body.json',
      'node.prepare.reply.json',
      'node.inventory.reply.json',
    ]),
  )
})

test('there is one Cause, wherever something says why it ended; a cause of a later version fits it', () => {
  const users = places.filter(({ schema }) => String(schema['$ref']).endsWith('#/$defs/Cause'))
  expect(users.map(({ file }) => file)).toEqual(
    expect.arrayContaining(['shapes.json', 'node.kill.body.json']),
  )
  const own = places.filter(({ schema }) => schema['const'] === 'rank' && schema['type'] === 'string')
  expect(own.map(({ path }) => path.split('/')[2])).toEqual(['Cause'])
})

test('only schemas of our own definitions are there, under names that a class can have', () => {
  expect(places.filter(({ file, schema }) => file !== 'shapes.json' && '$defs' in schema)).toEqual([])
  expect(Object.keys(shapes).filter((name) => !/^[A-Z][A-Za-z]+$/.test(name))).toEqual([])
})

test('messages are open to fields of later versions; the launch document is not', () => {
  const closed = places.filter(({ schema }) => schema['additionalProperties'] === false)
  expect(new Set(closed.map(({ file }) => file))).toEqual(new Set(['launch.schema.json']))
})
