/**
 * A stream as it is asked for: made when it is not there, changed when its limits or replicas are others.
 * What somebody else has set on it beside these (a placement, a description) stays.
 */
import { Fault } from '../../protocol/faults.ts'
import type { StreamConfig } from '../bus.ts'
import { apiExchange, apiFault, apiRequest, ERROR, type ApiError, type ApiResult } from './api.ts'
import type { Link } from './link.ts'

type ServerConfig = Record<string, unknown>

export async function ensureStreamOn(
  link: Link,
  config: StreamConfig,
): Promise<{ created: boolean; firstSeq: number; lastSeq: number }> {
  const { name } = config
  const asked = await apiExchange(link, `$JS.API.STREAM.INFO.${name}`, undefined)
  if (asked.error !== undefined && asked.error.err_code !== ERROR.streamNotFound)
    throw apiFault(name, asked.error)
  const created = asked.error !== undefined
  const info = created
    ? await apiRequest(link, `$JS.API.STREAM.CREATE.${name}`, wantedOf(config))
    : await withConfig(link, config, asked.result)
  const state = info['state'] as { first_seq: number; last_seq: number }
  return { created, firstSeq: state.first_seq, lastSeq: state.last_seq }
}

/** @throws {Fault} EXISTS when a value differs that the server does not change */
async function withConfig(link: Link, config: StreamConfig, info: ApiResult): Promise<ApiResult> {
  const found = info['config'] as ServerConfig
  const wanted = wantedOf(config, Number(found['num_replicas'] ?? 1))
  const differs = Object.keys(wanted).filter((key) => !isSame(wanted[key], found[key]))
  if (differs.length === 0) return info
  const { result, error } = await apiExchange(link, `$JS.API.STREAM.UPDATE.${config.name}`, {
    ...found,
    ...wanted,
  })
  if (error === undefined) return result
  throw unchanged(config.name, error, differs, { found, wanted })
}

function unchanged(
  name: string,
  error: ApiError,
  differs: string[],
  { found, wanted }: Record<'found' | 'wanted', ServerConfig>,
): Fault {
  const text = (value: unknown): string => JSON.stringify(value ?? null)
  const values = differs.map((key) => `${key} is ${text(found[key])}, asked for is ${text(wanted[key])}`)
  return new Fault(
    'EXISTS',
    `the stream ${name} cannot be changed (${error.description ?? `error ${error.code}`}): ${values.join('; ')}`,
    {
      data: {
        stream: name,
        differs: differs.map((key) => ({ key, found: found[key] ?? null, wanted: wanted[key] ?? null })),
      },
    },
  )
}

/** The server leaves out values that are its defaults. */
function isSame(wanted: unknown, found: unknown): boolean {
  return JSON.stringify(wanted ?? null) === JSON.stringify(found ?? null)
}

/**
 * @param copies  that the stream has now. The server writes replicated streams at once, and refuses to be
 * asked for anything else.
 */
function wantedOf(config: StreamConfig, copies = 1): ServerConfig {
  const isReplicated = Math.max(config.replicas ?? 1, copies) > 1
  return {
    name: config.name,
    subjects: config.subjects,
    retention: config.kind === 'work-queue' ? 'workqueue' : 'limits',
    storage: config.storage,
    max_bytes: config.maxBytes,
    max_age: config.maxAgeMs * 1e6,
    duplicate_window: config.duplicateWindowMs * 1e6,
    max_consumers: -1,
    max_msgs: config.maxMessages ?? -1,
    max_msg_size: -1,
    discard: config.kind === 'work-queue' ? 'new' : 'old',
    allow_direct: config.allowDirect,
    ...(config.replicas !== undefined && { num_replicas: config.replicas }),
    persist_mode: config.asyncPersist && !isReplicated ? 'async' : undefined,
  }
}
