/**
 * The time of each layer of tests beside its budget, read from vitest's report. A layer is one or more
 * folders below tests/; its time runs from its first file's start to its last file's end, since layers run
 * one after another.
 */
import { relative, sep } from 'node:path'

const MINUTES = { 'unit and contracts': 4, sim: 8, integration: 8, e2e: 5 }
const LAYER_OF = { unit: 'unit and contracts', golden: 'unit and contracts', contracts: 'unit and contracts' }

/**
 * @param report vitest's JSON report
 * @param root   the checkout
 * @returns      a line for each layer that ran
 */
export function budgetLines(report, root) {
  const spans = new Map()
  for (const { name, startTime, endTime } of report.testResults ?? []) {
    const folder = relative(root, name).split(sep)[1]
    const layer = LAYER_OF[folder] ?? folder
    const span = spans.get(layer) ?? { from: Infinity, to: 0 }
    spans.set(layer, { from: Math.min(span.from, startTime), to: Math.max(span.to, endTime) })
  }
  return [...spans].map(([layer, { from, to }]) => {
    const seconds = Math.round((to - from) / 1000)
    const budget = (MINUTES[layer] ?? 0) * 60
    return `layer ${layer}: ${seconds} s of ${budget} s${seconds > budget ? ', OVER ITS BUDGET' : ''}`
  })
}
