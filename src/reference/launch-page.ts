/**
 * The reference page of the launch document, from its schema: every key, its form, its default and what it
 * means.
 */
import type { z } from 'zod'
import { launchSchema } from './schemas.ts'
import { LATER, LaunchForm } from '../protocol/launch/schema.ts'
import { TEMPLATE_NAMES } from '../protocol/launch/templates.ts'
import { DURATION_FORMS, SHAPE_FORMS, SIZE_FORMS } from '../protocol/launch/units.ts'

type Schema = z.core.JSONSchema.BaseSchema

export function launchPage(): string {
  const schema = launchSchema(LaunchForm) as Schema
  const role = (schema.properties!['roles'] as Schema).additionalProperties as Schema
  return `# The launch document

One document, YAML or JSON; the JSON is the body of the message. Unknown keys are errors. Words:
[the glossary](../glossary.md). [The schema](../schemas/launch.schema.json) serves editors: put
\`# yaml-language-server: $schema=…/docs/schemas/launch.schema.json\` on the first line.

Durations are ${DURATION_FORMS}; sizes ${SIZE_FORMS}; shapes ${SHAPE_FORMS}.
A bare number is refused where a unit is meant, except 0.

Commands, environment values, prefixes and probes may hold \`\${{ … }}\`: ${TEMPLATE_NAMES}.
\`roles.X\` must be the role itself or one that it depends on; \`port.N\` is a leased port; \`$\${{\` is a plain
\`\${{\`.

Words of later versions are refused by name (\`not in this version: slurm\`): ${[...LATER].join(', ')}.

## The launch

${keysOf(schema, '')}
## A role

${keysOf(role, '')}`
}

function keysOf(schema: Schema, prefix: string): string {
  return `| key | form | default | |\n| --- | --- | --- | --- |\n${linesOf(schema, prefix)
    .map((cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |\n`)
    .join('')}`
}

/** One line for each key; the keys of a nested mapping follow it as `parent.key`. */
function linesOf(schema: Schema, prefix: string): string[][] {
  return Object.entries(schema.properties ?? {}).flatMap(([key, value]) => {
    const child = value as Schema
    const required = schema.required?.includes(key) ?? false
    const line = [
      `\`${prefix}${key}\``,
      formOf(child),
      required ? 'needed' : defaultOf(child),
      child.description ?? '',
    ]
    return prefix === '' && key === 'roles'
      ? [line]
      : [line, ...linesOf(mappingOf(child), `${prefix}${key}.`)]
  })
}

/** The mapping among a key's forms: resources is one or a list of them, restart a word or the long form. */
function mappingOf(schema: Schema): Schema {
  return schema.properties
    ? schema
    : ((schema.anyOf?.find((form) => typeof form === 'object' && form.properties) as Schema | undefined) ??
        {})
}

function defaultOf({ default: value }: Schema): string {
  return value === undefined || JSON.stringify(value) === '{}' || JSON.stringify(value) === '[]'
    ? ''
    : `\`${JSON.stringify(value)}\``
}

function formOf(schema: Schema): string {
  if (schema.const !== undefined) return `\`${String(schema.const)}\``
  if (schema.enum) return schema.enum.map((word) => `\`${String(word)}\``).join(', ')
  if (schema.anyOf) return [...new Set(schema.anyOf.map((form) => formOf(form as Schema)))].join(' or ')
  if (schema.type === 'array')
    return Array.isArray(schema.items)
      ? `list of ${schema.items.length}`
      : `list of ${formOf((schema.items ?? {}) as Schema)}`
  if (schema.type === 'object') return 'mapping'
  const type = [schema.type ?? 'any'].flat()
  return type.includes('boolean') && type.length === 1
    ? 'true or false'
    : type.includes('string')
      ? 'text'
      : type[0] === 'integer'
        ? 'whole number'
        : String(type[0])
}
