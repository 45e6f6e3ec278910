/** Generated pages are what the code says; golden bytes are what other versions and languages read. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { decode, encode } from '../../src/protocol/codec.ts'
import { pages, parts } from '../../src/reference/docs.ts'
import { exampleOf } from '../../src/reference/examples.ts'
import { parseLaunchText, resolveLaunch } from '../../src/protocol/launch/document.ts'
import { MSGPACK, TABLE } from '../../src/protocol/table.ts'

const root = join(import.meta.dirname, '../..')
function read(path: string): Promise<string> {
  return readFile(join(root, path), 'utf8')
}

test.each(pages())('$path is what the code says (npm run gen)', async ({ path, text }) => {
  expect(await read(path)).toBe(text)
})

test.each(['docs/schemas', 'tests/golden/bytes'])('%s holds nothing else', async (dir) => {
  const wanted = pages().map((page) => page.path)
  const there = await readdir(join(root, dir))
  expect(there.map((file) => `${dir}/${file}`).filter((path) => !wanted.includes(path))).toEqual([])
})

describe.each(parts())('golden bytes of $name', ({ name, schema }) => {
  test('are decoded to a value that fits the schema, from msgpack and from JSON', async () => {
    const golden = JSON.parse(await read(`tests/golden/bytes/${name}.json`)) as {
      json: string
      msgpack: string
    }
    const example = exampleOf(schema)
    const msgpack = Uint8Array.from(Buffer.from(golden.msgpack, 'hex'))
    expect(schema.parse(decode(msgpack, MSGPACK))).toEqual(example)
    const fromJson = decode(new TextEncoder().encode(golden.json), undefined)
    // bytes are base64 in JSON, which the messenger alone turns back
    expect(encode(fromJson, 'json')).toEqual(encode(example, 'json'))
    expect(encode(example, 'msgpack')).toEqual(msgpack)
  })

  test('cut short anywhere are refused, or fit no schema, and never crash', () => {
    for (const form of ['msgpack', 'json'] as const) {
      const whole = encode(exampleOf(schema), form)
      // each of the first bytes, then a sample: the head says what follows
      for (let length = 1; length < whole.length; length += length < 32 ? 1 : 17) {
        let value: unknown
        try {
          value = decode(whole.slice(0, length), form === 'msgpack' ? MSGPACK : undefined)
        } catch (error) {
          expect(error).toMatchObject({ code: 'REQUEST_INVALID' })
          continue
        }
        expect(value).not.toEqual(exampleOf(schema))
      }
    }
  })
})

test('every row with a body has golden bytes', () => {
  const names = parts().map((part) => part.name)
  expect(
    Object.entries(TABLE).filter(([name, row]) => row.body !== null && !names.includes(`${name}.body`)),
  ).toEqual([])
})

test('the JSON Schema of a launch file knows every key of the design’s document that works in this version', async () => {
  const schema = JSON.parse(await read('docs/schemas/launch.schema.json')) as {
    additionalProperties: boolean
    required: string[]
    properties: Record<
      string,
      { additionalProperties: { properties: Record<string, unknown>; required: string[] } }
    >
  }
  expect(schema.additionalProperties).toBe(false)
  expect(schema.required).toEqual(['apiVersion', 'name', 'roles'])
  const role = schema.properties['roles']!.additionalProperties
  expect(role.required).toEqual(['command'])
  for (const key of [
    'kind',
    'replicas',
    'shape',
    'resources',
    'dependsOn',
    'env',
    'command',
    'shell',
    'prefix',
    'pythonPath',
    'setup',
    'cwd',
    'ready',
    'restart',
    'stop',
    'preStop',
    'network',
    'nodelist',
    'exclude',
    'failFast',
    'fenceAfter',
  ])
    expect(Object.keys(role.properties)).toContain(key)
})

test('the examples are documents that resolve', async () => {
  const files = (await readdir(join(root, 'examples'))).filter((file) => file.endsWith('.yaml'))
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) {
    const { document, source } = parseLaunchText(await read(`examples/${file}`), file)
    expect(resolveLaunch({ ...document, cwd: '/work' }, source).roles.length).toBeGreaterThan(0)
  }
})
