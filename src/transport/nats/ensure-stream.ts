/** A stream as it is asked for: made when it is not there. */
import type { StreamConfig } from '../bus.ts'
import { apiExchange, apiFault, apiRequest, ERROR } from './api.ts'
import type { Link } from './link.ts'

export async function ensureStreamOn(
  link: Link,
  config: StreamConfig,
): Promise<{ created: boolean; firstSeq: number; lastSeq: number }> {
  const asked = await apiExchange(link, `$JS.API.STREAM.INFO.${config.name}`, undefined)
  if (asked.error !== undefined && asked.error.err_code !== ERROR.streamNotFound)
    throw apiFault(config.name, asked.error)
  const created = asked.error !== undefined
  const info = created
    ? await apiRequest(link, `$JS.API.STREAM.CREATE.${config.name}`, createBody(config))
    : asked.result
  const state = info['state'] as { first_seq: number; last_seq: number }
  return { created, firstSeq: state.first_seq, lastSeq: state.last_seq }
}

function createBody(config: StreamConfig): Record<string, unknown> {
  return {
    name: config.name,
    subjects: config.subjects,
    retention: config.kind === 'work-queue' ? 'workqueue' : 'limits',
    storage: config.storage,
    max_bytes: config.maxBytes,
    max_age: config.maxAgeMs * 1e6,
    duplicate_window: config.duplicateWindowMs * 1e6,
    max_consumers: -1,
    max_msgs: -1,
    max_msg_size: -1,
    num_replicas: 1,
    discard: config.kind === 'work-queue' ? 'new' : 'old',
    allow_direct: config.allowDirect,
    ...(config.asyncPersist && { persist_mode: 'async' }),
  }
}
