/** What is printed and kept: a table for people, the same as JSON. Pure. */
import type { Machine } from './machine.ts'
import type { Figure, Row, Unit } from './measure.ts'

export interface Report {
  at: string
  quick: boolean
  machine: Machine
  /** ms of an fsync on the disk of this run */
  fsyncMs: Figure
  rows: (Row & { measurement: string })[]
  failed: { measurement: string; reason: string }[]
}

function number(value: number): string {
  return value >= 1000
    ? Math.round(value).toLocaleString('en')
    : value >= 100
      ? value.toFixed(0)
      : value >= 10
        ? value.toFixed(1)
        : value.toFixed(2)
}
function amount(value: number, unit: Unit): string {
  return `${number(value)}${unit === '1/s' ? '/s' : ` ${unit}`}`
}

/** One row while the others are still being measured. */
export function lineOf({ what, unit, figure, ratio, beside }: Row): string {
  return `${what}: ${amount(figure.p50, unit)}${ratio === null ? '' : `, ${number(ratio)}x of ${beside[0]!.what}`}`
}

export function tableOf({ machine, fsyncMs, rows, failed, quick }: Report): string {
  const head = ['WHAT', 'P50', 'P99', 'N', 'BESIDE', 'P50', 'RATIO', 'AIM', 'MET']
  const lines: string[][] = []
  const notes: string[] = []
  for (const row of rows) {
    row.beside.forEach((beside, i) =>
      lines.push([
        ...(i === 0
          ? [
              row.what,
              amount(row.figure.p50, row.unit),
              row.figure.p99 === null ? '-' : amount(row.figure.p99, row.unit),
              String(row.figure.n),
            ]
          : ['', '', '', '']),
        beside.what,
        amount(beside.p50, beside.unit),
        i > 0 || row.ratio === null ? '' : `${number(row.ratio)}x`,
        i > 0 ? '' : (row.aim?.text ?? '-'),
        i > 0 || row.aim === null ? '' : row.aim.met ? 'yes' : 'NO',
      ]),
    )
    for (const note of row.notes) notes.push(`${row.what}: ${note}`)
  }
  const widths = head.map((title, i) => Math.max(title.length, ...lines.map((line) => line[i]!.length)))
  const text = [head, ...lines].map((line) =>
    line
      .map((cell, i) => cell.padEnd(widths[i]!))
      .join('  ')
      .trimEnd(),
  )
  return [
    `${machineText(machine)}; fsync p50 ${number(fsyncMs.p50)} ms${quick ? '; QUICK: too few to say anything' : ''}`,
    '',
    ...text,
    '',
    ...notes,
    ...failed.map(({ measurement, reason }) => `FAILED ${measurement}: ${reason}`),
    '',
  ].join('\n')
}

function machineText({ cpus, model, memoryBytes, kernel, node, load }: Machine): string {
  const gigabytes = Math.round(memoryBytes / 1e9)
  return `${cpus} cores (${model}), ${gigabytes} GB, Linux ${kernel}, Node ${node}; load before ${load.toFixed(2)}`
}
