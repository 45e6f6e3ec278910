import { describe, expect, test } from 'vitest'
import { resolveLaunch } from '../../../../src/protocol/launch/document.ts'
import { head, launchOf, refusal, task } from '../../../support/launch-text.ts'

describe('a ~ that only a shell would fill in is refused where a directory is named', () => {
  test.each([
    ['cwd', "cwd: '~/x'", "'~/x': only shells fill in a ~; write the whole path, or './~'"],
    ['venv', "venv: '~'", "'~': only shells fill in a ~"],
    ['pathPrepend', "pathPrepend: [/bin, '~ada/bin']", "'~ada/bin': only shells fill in a ~"],
    ['pythonPath', "pythonPath: ['~/lib']", "'~/lib': only shells fill in a ~"],
  ])('%s', (_, key, message) => {
    expect(refusal(task(key)).message).toContain(message)
  })
  test('a directory of that name may be written', () => {
    const role = { command: ['x'], venv: './~', pathPrepend: ['/x/~'] }
    expect(resolveLaunch(launchOf({ a: role })).roles[0]).toMatchObject({ venv: './~' })
  })
})

test.each([
  ["venv: ''", 'an empty text at roles.a.venv'],
  ["pathPrepend: ['']", 'an empty text at roles.a.pathPrepend[0]'],
  ['command: []', 'needs at least the program at roles.a.command'],
])('%s is refused in people’s words', (key, message) => {
  const text = key.startsWith('command') ? `${head}roles: { a: { ${key} } }` : task(key)
  expect(refusal(text).message).toContain(message)
})
