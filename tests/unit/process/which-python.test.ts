/** What is said beside a program's own last words. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { otherPython } from '../../../src/cli/render/other-python.ts'
import { lacksModule, whichPython } from '../../../src/process/which-python.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

let [agents, callers] = ['', '']
beforeEach(() => {
  ;[agents, callers] = [temporaryDirectory(), temporaryDirectory()]
  for (const dir of [agents, callers]) writeFileSync(join(dir, 'python'), '', { mode: 0o755 })
})
afterEach(() => [agents, callers].forEach(removeDirectory))

const LACKS = ['Traceback (most recent call last):', "ModuleNotFoundError: No module named 'numpy'"]
function hint(program = 'python', callerPath?: string, path = agents): string | null {
  return whichPython(program, { cwd: '/', env: { PATH: path } }, callerPath)
}

test('a module is lacking: the Python is named, and the one of the caller beside it', () => {
  expect(hint('python', callers)).toBe(
    `troupe: 'python' is ${agents}/python; in the shell that launched it is ${callers}/python`,
  )
  expect(hint('python', agents)).toBe(`troupe: 'python' is ${agents}/python`)
  expect(hint()).toBe(`troupe: 'python' is ${agents}/python, by the PATH of the agent or the document`)
  expect(hint(`${agents}/python`)).toContain(`is ${agents}/python`)
  expect(hint('sh')).toBeNull()
  expect(hint('python', callers, '/nowhere')).toBeNull()
})

test.each([
  [LACKS[1]!, true],
  ['/usr/bin/python3: No module named torch.distributed.run', true],
  ['ValueError: No module named x', false],
  ['  ModuleNotFoundError: No module named x', false],
])('%j says that a module is lacking: %s', (line, expected) => {
  expect(lacksModule(line)).toBe(expected)
})

test('`run` names the Python of its own shell where the worker had another and nothing came along', () => {
  const words = [...LACKS, hint()!]
  expect(otherPython(words, callers)).toBe(
    `here 'python' is ${callers}/python, of the worker it was ${agents}/python: launch with --env-from path, or say venv: DIR`,
  )
  expect(otherPython(words, agents)).toBeNull()
  expect(otherPython(words, '/nowhere')).toBeNull()
  expect(otherPython([...LACKS, hint('python', callers)!], callers)).toBeNull()
  expect(otherPython(LACKS, callers)).toBeNull()
  expect(otherPython([], callers)).toBeNull()
})
