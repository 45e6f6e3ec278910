/**
 * The newest entry of STATE, read without folding it: which store this is, and how far its coordinators have
 * come. An agent may read it too.
 */
import * as z from 'zod'
import { decode } from '../protocol/codec.ts'
import { Epoch } from '../protocol/shapes.ts'
import { subjectOf } from '../protocol/subjects.ts'
import { HEADERS, streamOf } from '../protocol/table.ts'
import type { ReadFrom } from './bus.ts'
import type { Messenger } from './messenger.ts'

/** All other fields are the coordinator's business. */
const Tail = z.object({ epoch: Epoch })

/** @returns null while nothing was ever written. @throws {Fault} CONN, TIMEOUT */
export async function readStateTail(
  { bus, fleet }: Pick<Messenger, 'bus' | 'fleet'>,
  from: ReadFrom,
): Promise<{ epoch: Epoch; seq: number } | null> {
  const message = await bus.getLast(streamOf(fleet, 'STATE'), subjectOf(fleet, 'state', {}), from)
  return message === null
    ? null
    : {
        epoch: Tail.parse(decode(message.body, message.headers[HEADERS.contentType])).epoch,
        seq: message.seq,
      }
}
