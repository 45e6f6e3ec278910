/** Types of test-budgets.mjs. */
export function budgetLines(report: object, root: string): string[]
