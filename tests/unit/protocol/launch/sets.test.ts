import { describe, expect, test } from 'vitest'
import { applySets, resolveLaunch, withAbsoluteCwd } from '../../../../src/protocol/launch/document.ts'
import { faultOf } from '../../../support/launch-text.ts'

describe('--set', () => {
  const document = { apiVersion: 'troupe/v1', name: 'x', roles: { a: { command: ['x', 'y'] } } }

  test('a value is put at its path, as YAML; the given document stays', () => {
    const set = applySets(document, [
      'roles.a.replicas=3',
      'roles.a.env.LR=1e-3',
      'roles.a.command[1]=z',
      'roles.a.stop={ grace: 5s }',
      'name=y',
      'roles.a.env.EQ=a=b',
    ])
    expect(resolveLaunch(set)).toMatchObject({
      name: 'y',
      roles: [{ replicas: 3, env: { LR: '1e-3', EQ: 'a=b' }, command: ['x', 'z'], stop: { graceMs: 5000 } }],
    })
    expect(document.roles.a).toEqual({ command: ['x', 'y'] })
  })

  test('an unknown path is an unknown key', () => {
    expect(faultOf(() => resolveLaunch(applySets(document, ['roles.a.replica=3']))).message).toBe(
      "unknown key 'replica' at roles.a; did you mean 'replicas'?",
    )
  })

  test.each([
    'roles',
    '=x',
    'a..b=1',
    'name.x=1',
    'roles.a.command[9]=x',
    '__proto__.x=1',
    'roles.a.command.x=1',
    'name={',
  ])('%s is refused', (set) => {
    expect(faultOf(() => applySets(document, [set])).code).toBe('SPEC_INVALID')
  })
})

test('a relative cwd is taken from the directory given', () => {
  const document = { cwd: '.', roles: { a: { cwd: '../b', command: ['x'] }, c: { cwd: '/abs' }, d: 3 } }
  expect(withAbsoluteCwd(document, '/work/dir')).toEqual({
    cwd: '/work/dir',
    roles: { a: { cwd: '/work/b', command: ['x'] }, c: { cwd: '/abs' }, d: 3 },
  })
})
