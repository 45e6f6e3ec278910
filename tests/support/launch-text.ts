/** Launch documents as text, and their refusal. */
import { Fault } from '../../src/protocol/faults.ts'
import { parseLaunchText, resolveLaunch, type LaunchIssue } from '../../src/protocol/launch/document.ts'
import type { Launch } from '../../src/protocol/launch/resolved.ts'

export function faultOf(run: () => unknown): Fault {
  try {
    run()
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
  throw new Error('nothing was refused')
}
export function resolveText(text: string): Launch {
  const { document, source } = parseLaunchText(text, 'a.yaml')
  return resolveLaunch(document, source)
}
export function refusal(text: string): Fault {
  return faultOf(() => resolveText(text))
}
export function issuesOf(fault: Fault): LaunchIssue[] {
  return fault.data['issues'] as LaunchIssue[]
}

export const head = 'apiVersion: troupe/v1\nname: x\n'
export function task(lines: string, more = ''): string {
  return `${head}roles:\n  a:\n    command: [x]\n${lines
    .split('\n')
    .map((line) => `    ${line}\n`)
    .join('')}${more}`
}

export function launchOf(
  roles: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name: 'big', roles, ...more }
}
