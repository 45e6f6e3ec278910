/** The lines that the gate prints for each layer. */
import { expect, test } from 'vitest'
import { budgetLines } from '../../../scripts/test-budgets.mjs'

function file(name: string, from: number, to: number): object {
  return { name: `/c/tests/${name}`, startTime: from * 1000, endTime: to * 1000 }
}

test('files of one layer overlap: the layer took from the first start to the last end', () => {
  const report = { testResults: [file('sim/a.test.ts', 10, 200), file('sim/b.test.ts', 100, 310)] }
  expect(budgetLines(report, '/c')).toEqual(['layer sim: 300 s of 480 s'])
})

test('a layer took longer than its budget: the line says so', () => {
  expect(budgetLines({ testResults: [file('e2e/a.test.ts', 0, 301)] }, '/c')).toEqual([
    'layer e2e: 301 s of 300 s, OVER ITS BUDGET',
  ])
})

test('unit, golden and contract files share one budget', () => {
  const report = { testResults: [file('unit/a.test.ts', 0, 5), file('contracts/b.test.ts', 6, 9)] }
  expect(budgetLines(report, '/c')).toEqual(['layer unit and contracts: 9 s of 240 s'])
})
