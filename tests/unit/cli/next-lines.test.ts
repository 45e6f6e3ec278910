import { expect, test } from 'vitest'
import { COMMANDS } from '../../../src/cli/frame/commands.ts'
import { NOT_TYPED, TYPED } from '../../support/next-lines.ts'
import { printedCommands } from '../../support/printed-commands.ts'

const printed = new Set(printedCommands().map(({ command }) => command))

test('every command that the program prints is typed by a test, or has its reason; no row is left over', () => {
  const known = [...Object.keys(TYPED), ...Object.keys(NOT_TYPED)]
  expect([...printed].filter((command) => !known.includes(command))).toEqual([])
  const left = known.filter((command) => !printed.has(command) && !command.startsWith('troupe completion '))
  expect(left).toEqual([])
})

test('each of them begins with a verb that there is', () => {
  const verbs = Object.keys(TYPED).map((command) => command.split(' ')[1]!)
  const unknown = verbs.filter(
    (verb) => !/^(…|--help)/.test(verb) && !Object.hasOwn(COMMANDS, verb.replaceAll('…', '')),
  )
  expect(unknown).toEqual([])
})

test('a word in capitals is all that a reader has to put in: no brackets, no dots', () => {
  const unclear = [...printed].filter(
    (command) => !Object.hasOwn(NOT_TYPED, command) && /[[\]<>{}]|\.\.\./.test(command),
  )
  expect(unclear).toEqual([])
})
