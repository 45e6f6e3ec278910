/** The pages that come from the command line, for scripts/gen.mjs: docs/reference/cli.md. */
import { cliReference } from './frame/reference.ts'

const page = await cliReference()

export function pages(): { path: string; text: string }[] {
  return [page]
}
