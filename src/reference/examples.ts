/**
 * One example value for each schema, made from the schema itself: for the golden bytes and the reference. A
 * new row of the table gets its example without anybody writing one. Deterministic; words that people know
 * (`ppo-dev`, `n0`) come from the field's name.
 */
import type * as z from 'zod'
import { wholeSchema, type JsonSchema } from './schemas.ts'

const LAUNCH_EXAMPLE = {
  apiVersion: 'troupe/v1',
  name: 'ppo-dev',
  roles: {
    trainer: {
      command: ['python', 'train.py', '--lr', '1e-3'],
      replicas: 2,
      env: { LEVEL: 'größe=1,2' },
      restart: 'on-failure',
    },
  },
}

const INCARNATION = '01JGH2VZQ3E8R5T7Y9W1X4C6B0'
const WORDS: Record<string, unknown> = {
  apiVersion: 'troupe/v1',
  name: 'ppo-dev',
  run: 'ppo-dev-0123456789ab',
  role: 'trainer',
  node: 'n0',
  user: 'ada',
  forkId: 'ppo-dev-0123456789ab.trainer.3.1',
  worker: 'ppo-dev-0123456789ab/trainer/3',
  incarnation: INCARNATION,
  writer: INCARNATION,
  signal: 'SIGTERM',
  hostname: 'c0',
  host: '10.0.0.1',
  addr: '10.0.0.1:10001',
  what: 'started',
  key: '7f3a',
  hash: 'ab'.repeat(32),
  stderrTail: ['line one', 'größe – 大'],
  source: 'stdout',
  at: 1_767_225_600_000,
  preparedAt: 1_767_225_600_000,
  startedAt: 1_767_225_600_250,
  exitedAt: 1_767_225_660_000,
  pid: 4242,
  ports: [10_001],
  gpus: ['0'],
  cores: [0, 1],
  killedBy: { by: 'user', name: 'ada' },
  ending: { by: 'user', name: 'ada' },
  by: { by: 'user', name: 'ada' },
  unknown: null,
  code: 143,
  path: '/health',
  command: ['python', 'train.py'],
  cwd: '/work',
  env: { LEVEL: 'größe=1,2' },
  umask: '0022',
  limits: { nofile: 1024 },
  nnodes: '2',
  exclude: [],
  tick: 86_400_000.125,
}

/** @throws when the schema refuses its own example: a hint is missing for a pattern */
export function exampleOf(schema: z.ZodType): unknown {
  const json = wholeSchema(schema)
  const value = example(json, json, '')
  // a document as it was sent: the schema knows only that it is a mapping
  return schema.parse(isAnyMapping(json) ? LAUNCH_EXAMPLE : value)
}

function isMapping(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function isAnyMapping(json: JsonSchema): boolean {
  return json.type === 'object' && json.properties === undefined
}

function example(json: JsonSchema, root: JsonSchema, key: string): unknown {
  if (json.$ref !== undefined) return example(resolveRef(json.$ref, root), root, key)
  const variants = json.anyOf ?? json.oneOf
  if (variants !== undefined && isMapping(WORDS[key])) return WORDS[key]
  if (variants !== undefined)
    return example(
      variants.find((variant) => typeof variant === 'object' && variant.type !== 'null') as JsonSchema,
      root,
      key,
    )
  if (json.const !== undefined) return json.const
  if (json.enum !== undefined) return json.enum[0]
  if (Object.hasOwn(WORDS, key) && fits(WORDS[key], json)) return WORDS[key]
  switch (typeOf(json)) {
    case 'object':
      return objectExample(json, root)
    case 'array':
      return json.prefixItems === undefined
        ? [example((json.items ?? {}) as JsonSchema, root, singular(key))]
        : json.prefixItems.map((item) => example(item as JsonSchema, root, key))
    case 'integer':
      return Math.max(1, json.minimum ?? 1)
    case 'number':
      return Math.max(1.5, json.minimum ?? 1.5)
    case 'boolean':
      return true
    case 'string':
      return json.contentEncoding === 'base64' ? new Uint8Array([0, 10, 255]) : stringExample(json.pattern)
    default:
      return null
  }
}

function objectExample(json: JsonSchema, root: JsonSchema): unknown {
  if (json.properties !== undefined)
    return Object.fromEntries(
      Object.entries(json.properties).map(([key, child]) => [key, example(child as JsonSchema, root, key)]),
    )
  return typeof json.additionalProperties === 'object'
    ? { trainer: example(json.additionalProperties as JsonSchema, root, '') }
    : {}
}

function resolveRef(ref: string, root: JsonSchema): JsonSchema {
  return ref
    .split('/')
    .slice(1)
    .reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], root) as JsonSchema
}

/** `forks: [forkId]` holds what `forkId` is. */
function singular(key: string): string {
  return key === 'forks' || key === 'unowned'
    ? 'forkId'
    : key === 'workers'
      ? 'worker'
      : key.replace(/s$/, '')
}

/** The type of a value that is there: `["string", "null"]` is a string. */
function typeOf({ type }: JsonSchema): string | undefined {
  return Array.isArray(type) ? (type as string[]).find((word) => word !== 'null') : type
}

function fits(value: unknown, json: JsonSchema): boolean {
  if (value === null) return json.type === undefined || [json.type].flat().includes('null')
  if (Array.isArray(value))
    return typeOf(json) === 'array' && value.every((item) => fits(item, json.items as JsonSchema))
  const type = typeof value
  return typeOf(json) === type || (typeOf(json) === 'integer' && Number.isInteger(value))
}

const STRINGS = ['n0', INCARNATION, 'SIGTERM', 'stdout']
function stringExample(pattern: string | undefined): string {
  return pattern === undefined
    ? 'text'
    : (STRINGS.find((text) => new RegExp(pattern, 'u').test(text)) ?? 'text')
}
