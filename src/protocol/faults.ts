/**
 * Operating errors: one class, one catalogue. A fault is matched by code, crosses the wire as
 * `{ code, message, data, retryable, hint }` and is rebuilt on the other side.
 * Outcomes (a worker that exits 1) are data, not faults; programmer errors are plain assertions.
 */
import * as z from 'zod'

/** exit: what the command line exits with; status: the `Nats-Service-Error-Code`, after HTTP's. */
export const CATALOGUE = {
  SPEC_INVALID: {
    exit: 2,
    status: 400,
    retryable: false,
    doc: 'the launch document is wrong; every issue has a path and a line',
  },
  REQUEST_INVALID: { exit: 2, status: 400, retryable: false, doc: 'a message does not fit its schema' },
  USAGE: { exit: 2, status: 400, retryable: false, doc: 'the command line is wrong' },
  PLAN_INVALID: {
    exit: 2,
    status: 422,
    retryable: false,
    doc: 'no known node could hold a worker, even if it were empty',
  },
  KEY_CONFLICT: {
    exit: 1,
    status: 409,
    retryable: false,
    doc: 'the idempotency key was used with another spec',
  },
  WORKER_NOT_FOUND: { exit: 3, status: 404, retryable: false, doc: 'no such run, role, worker or rank' },
  NODE_NOT_FOUND: { exit: 3, status: 404, retryable: false, doc: 'no such node' },
  USER_NOT_FOUND: {
    exit: 3,
    status: 404,
    retryable: false,
    doc: 'no credential was handed out to that name',
  },
  AMBIGUOUS: { exit: 2, status: 409, retryable: false, doc: 'a prefix fits several runs' },
  CONN: { exit: 4, status: 503, retryable: true, doc: 'the bus or the coordinator cannot be reached' },
  TIMEOUT: {
    exit: 4,
    status: 504,
    retryable: true,
    doc: 'no answer in time; whether it was done is not known',
  },
  NOT_LEADER: {
    exit: 4,
    status: 503,
    retryable: true,
    doc: 'this coordinator stands by or has been deposed',
  },
  PERMISSION: {
    exit: 5,
    status: 403,
    retryable: false,
    doc: 'the server refused the subject to this credential, or the run is another user’s',
  },
  OVERLOADED: { exit: 1, status: 429, retryable: true, doc: 'the mailbox is full; ask again' },
  REPLY_TOO_LARGE: {
    exit: 1,
    status: 413,
    retryable: false,
    doc: 'the answer is larger than one message may be; ask for a part of it',
  },
  EXPIRED: {
    exit: 1,
    status: 408,
    retryable: true,
    doc: 'the order was read too late, or the prepare lapsed',
  },
  STALE_EPOCH: { exit: 1, status: 409, retryable: false, doc: 'the order comes from a deposed coordinator' },
  STORE_UNKNOWN: {
    exit: 1,
    status: 409,
    retryable: false,
    doc: 'the state store was made anew; `troupe nodes adopt NODE` accepts it',
  },
  CANCELLED: {
    exit: 1,
    status: 410,
    retryable: false,
    doc: 'this fork id was cancelled and is refused for ever',
  },
  EXISTS: { exit: 1, status: 409, retryable: false, doc: 'already there' },
  GONE: {
    exit: 1,
    status: 410,
    retryable: false,
    doc: 'the bytes are no longer kept; data.floor is the first that is',
  },
  WORKER_CREATE: { exit: 125, status: 500, retryable: true, doc: 'a worker could not be started' },
  WORKER_CONFIG: {
    exit: 125,
    status: 400,
    retryable: false,
    doc: 'a worker cannot be set up as asked (interface, cwd, template)',
  },
  WORKER_TIMEOUT: {
    exit: 124,
    status: 504,
    retryable: false,
    doc: 'a worker did not reach the awaited point in time',
  },
  PORT_ALLOC: { exit: 125, status: 507, retryable: true, doc: 'not enough free ports in the range' },
  GPU_ALLOC: {
    exit: 125,
    status: 507,
    retryable: true,
    doc: 'not enough free GPUs, cores or memory on the node',
  },
  SPOOL: {
    exit: 125,
    status: 507,
    retryable: true,
    doc: 'the spool cannot be written (disk full, permissions)',
  },
  LOCKED: { exit: 1, status: 409, retryable: false, doc: 'another process owns the spool' },
  SETUP: { exit: 1, status: 500, retryable: true, doc: 'a component is missing and could not be got' },
  FAILED: { exit: 1, status: 500, retryable: false, doc: 'the operation failed' },
} as const

export type FaultCode = keyof typeof CATALOGUE

export const FaultBody = z.object({
  code: z.string(),
  message: z.string(),
  data: z.record(z.string(), z.unknown()).default({}),
  retryable: z.boolean(),
  hint: z.string().optional(),
})
export type FaultBody = z.infer<typeof FaultBody>

export class Fault extends Error {
  readonly code: FaultCode
  readonly data: Record<string, unknown>
  readonly retryable: boolean
  readonly hint: string | undefined

  constructor(
    code: FaultCode,
    message: string,
    options: { data?: Record<string, unknown>; hint?: string; retryable?: boolean; cause?: unknown } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'Fault'
    this.code = code
    this.data = options.data ?? {}
    this.retryable = options.retryable ?? CATALOGUE[code].retryable
    this.hint = options.hint
  }

  get exitCode(): number {
    return CATALOGUE[this.code].exit
  }

  toBody(): FaultBody {
    return {
      code: this.code,
      message: this.message,
      data: this.data,
      retryable: this.retryable,
      ...(this.hint !== undefined && { hint: this.hint }),
    }
  }

  /**
   * Rebuild a fault from the wire; a code of a later version becomes FAILED and keeps its word in
   * `data.code`.
   */
  static fromBody(body: FaultBody): Fault {
    const known = body.code in CATALOGUE
    return new Fault(known ? (body.code as FaultCode) : 'FAILED', body.message, {
      data: known ? body.data : { ...body.data, code: body.code },
      retryable: body.retryable,
      ...(body.hint !== undefined && { hint: body.hint }),
    })
  }
}

export function isFault(error: unknown, code?: FaultCode): error is Fault {
  return error instanceof Fault && (code === undefined || error.code === code)
}

/** Any thrown thing as a fault: what a handler answers when something below it threw. */
export function toFault(error: unknown, code: FaultCode = 'FAILED'): Fault {
  return error instanceof Fault
    ? error
    : new Fault(code, error instanceof Error ? error.message : String(error), { cause: error })
}
