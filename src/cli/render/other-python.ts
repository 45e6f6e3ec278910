/** A worker's Python lacks a module, and the one of this shell is another: the two paths, side by side. */
import { which } from '../../system/program-path.ts'

/**
 * @param lastWords  the agent's own last line among them (process/which-python.ts)
 * @param path  PATH of this shell
 */
export function otherPython(lastWords: readonly string[], path: string | undefined): string | null {
  const [, name, workers] =
    /^troupe: '(python[\d.]*)' is ([^\s;,]+)(?!.*; in the shell)/.exec(lastWords.at(-1) ?? '') ?? []
  if (name === undefined || workers === undefined) return null
  const here = which(name, path)
  return here === null || here === workers
    ? null
    : `here '${name}' is ${here}, of the worker it was ${workers}: launch with --env-from path, or say venv: DIR`
}
