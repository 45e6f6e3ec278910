/**
 * The code blocks of a page. A block is run, or shown: `sh` is typed, in one shell for the page, in order;
 * `LANGUAGE FILE` is saved as that file; `text` is no code. One that cannot be run has the line
 * `<!-- not run: REASON -->` before it.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { root } from './fleet.ts'

export interface Block {
  page: string
  line: number
  language: string
  /** what it is saved as */
  file: string | null
  notRun: string | null
  text: string
}

export function pages(): string[] {
  const inDocs = readdirSync(join(root, 'docs'), { recursive: true, encoding: 'utf8' }).map(
    (name) => `docs/${name}`,
  )
  const top = readdirSync(root).concat(readdirSync(join(root, 'examples')).map((name) => `examples/${name}`))
  return [...top, ...inDocs].filter((name) => name.endsWith('.md')).toSorted()
}

export function blocksOf(page: string): Block[] {
  const lines = readFileSync(join(root, page), 'utf8').split('\n')
  const blocks: Block[] = []
  for (let i = 0; i < lines.length; i++) {
    const [, fence, language, file] = /^ *(```+|~~~+)(\S*) *(.*)$/.exec(lines[i]!) ?? []
    if (fence === undefined) continue
    const end = lines.findIndex((line, at) => at > i && line.trim() === fence)
    if (end < 0) throw new Error(`${page}:${i + 1}: a block without an end`)
    blocks.push({
      page,
      line: i + 1,
      language: language!,
      file: file || null,
      notRun: /^<!-- not run: (.+) -->$/.exec(lines[i - 1]?.trim() ?? '')?.[1] ?? null,
      text: `${lines.slice(i + 1, end).join('\n')}\n`,
    })
    i = end
  }
  return blocks
}
