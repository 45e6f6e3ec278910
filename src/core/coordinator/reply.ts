/** The answer to a request. */
import type { ReplyBody, RequestOf } from './messages.ts'
import type { Ctx } from './types.ts'

export function reply(ctx: Ctx, request: RequestOf, body: ReplyBody): void {
  return void ctx.out.push({ kind: 'reply', request: request.id, body })
}
