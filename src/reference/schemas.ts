/**
 * JSON Schemas of everything that crosses the bus, and of the launch document.
 *
 * Every schema that the modules below export is a shape: it stands once, in docs/schemas/shapes.json, by its
 * name in the code, and everything else refers to it. A message that has a shape's fields beside its own is
 * `allOf` the two. So a generator makes one class of ForkReport, however many messages carry one. Objects are
 * open: minor versions add fields, and a reader ignores those that it does not know.
 */
import * as z from 'zod'
import * as causes from '../protocol/causes.ts'
import * as nodeInfo from '../protocol/node-info.ts'
import * as records from '../protocol/records.ts'
import * as resolved from '../protocol/launch/resolved.ts'
import * as shapes from '../protocol/shapes.ts'

export type JsonSchema = z.core.JSONSchema.BaseSchema & { contentEncoding?: string }

const SHAPES_FILE = 'shapes.json'
export const DIALECT = 'https://json-schema.org/draft/2020-12/schema'

const SHAPES = Object.entries<unknown>({ ...shapes, ...nodeInfo, ...causes, ...resolved, ...records }).filter(
  isShape,
)
const registry = z.registry<{ id: string }>()
for (const [id, shape] of SHAPES) registry.add(shape, { id })

/** Numbers and texts with a rule stay where they are used: a class for each would say less. */
function isShape(entry: [string, unknown]): entry is [string, z.ZodType] {
  return [z.ZodObject, z.ZodEnum, z.ZodUnion, z.ZodRecord].some((kind) => entry[1] instanceof kind)
}

const OPTIONS = { target: 'draft-2020-12', unrepresentable: 'any', override: open } as const
function open({
  zodSchema,
  jsonSchema,
}: {
  zodSchema: z.core.$ZodTypes
  jsonSchema: z.core.JSONSchema.BaseSchema
}): void {
  // bytes are base64 text, as they are in JSON bodies
  if (zodSchema instanceof z.ZodCustom)
    Object.assign(jsonSchema, { type: 'string', contentEncoding: 'base64' })
  if (zodSchema instanceof z.ZodObject && jsonSchema.additionalProperties === false)
    delete jsonSchema.additionalProperties
}

/** The launch document as editors read it; its objects are closed, as the document is. */
export function launchSchema(form: z.ZodType): JsonSchema {
  return z.toJSONSchema(form, { io: 'input', target: 'draft-7', unrepresentable: 'any' })
}

/** A schema with all its shapes in place, for one example of it. */
export function wholeSchema(schema: z.ZodType): JsonSchema {
  return z.toJSONSchema(schema, OPTIONS) as JsonSchema
}

/** A schema that refers to shapes.json. */
export function messageSchema(schema: z.ZodType): JsonSchema {
  return split(schema, SHAPES_FILE).own
}

/** All shapes, in one file. */
export function shapesSchema(): JsonSchema {
  const defs = SHAPES.flatMap(([, shape]) => Object.entries(split(shape, '').defs))
  return { $schema: DIALECT, title: 'Shapes', $defs: Object.fromEntries(defs.toSorted(byName)) }
}
function byName([a]: [string, unknown], [b]: [string, unknown]): number {
  return a < b ? -1 : 1
}

/** @param file  where shapes stand, seen from the schema; empty: in the same file */
function split(schema: z.ZodType, file: string): { own: JsonSchema; defs: Record<string, JsonSchema> } {
  // the wrapper makes a reference of a schema that is itself a shape
  const json = z.toJSONSchema(z.object({ own: schema }), { ...OPTIONS, metadata: registry })
  const linked = JSON.parse(JSON.stringify(json).replaceAll('"#/$defs/', `"${file}#/$defs/`)) as {
    properties: { own: JsonSchema }
    $defs?: Record<string, JsonSchema>
  }
  const defs = Object.entries(linked.$defs ?? {}).map(([id, def]): [string, JsonSchema] => [
    id,
    extending(SHAPES.find(([name]) => name === id)![1], def, file),
  ])
  return { own: extending(schema, linked.properties.own, file), defs: Object.fromEntries(defs) }
}

/** An object that has all fields of a shape, the very same ones, is that shape and the rest. */
function extending(schema: z.ZodType, json: JsonSchema, file: string): JsonSchema {
  if (!(schema instanceof z.ZodObject) || json.properties === undefined) return json
  const [id, base] = SHAPES.find(([, shape]) => shape !== schema && hasFieldsOf(schema, shape)) ?? []
  if (!(base instanceof z.ZodObject)) return json
  const own = (name: string): boolean => !Object.hasOwn(base.shape, name)
  const { properties, required = [], ...rest } = json
  return {
    ...rest,
    allOf: [
      { $ref: `${file}#/$defs/${id}` },
      {
        type: 'object',
        properties: Object.fromEntries(Object.entries(properties).filter(([name]) => own(name))),
        required: required.filter(own),
      },
    ],
  }
}
function hasFieldsOf(schema: z.ZodObject, shape: z.ZodType): boolean {
  return (
    shape instanceof z.ZodObject &&
    Object.entries(shape.shape).every(([name, field]) => schema.shape[name] === field)
  )
}
