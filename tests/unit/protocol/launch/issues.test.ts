import { describe, expect, test } from 'vitest'
import { resolveLaunch } from '../../../../src/protocol/launch/document.ts'
import { faultOf, head, issuesOf, refusal, task } from '../../../support/launch-text.ts'

describe('documents that cannot be read as meant', () => {
  test.each([
    ['colocate', task('colocate: { with: b }')],
    ['slurm', task('slurm: { partition: gpu }')],
    ['slurm', `${head}backend: slurm\nroles: { a: { command: [x] } }`],
    ['ray', `${head}ray: { strategy: PACK }\nroles: { a: { command: [x] } }`],
    ['ray', `${head}backend: ray\nroles: { a: { command: [x] } }`],
    ['hosts', `${head}hosts: [h]\nroles: { a: { command: [x] } }`],
    ['runtime-pool', `${head}roles:\n  a: { kind: runtime-pool }`],
    ['secrets', task('secrets: [T]')],
    ['onTimeLimit', task('onTimeLimit: { before: 10m }')],
    ['container', task('container: { image: i }')],
    ['image', task('image: i')],
  ])('a word of a later version, %s, is refused by name', (word, text) => {
    const fault = refusal(text)
    expect(issuesOf(fault)[0]!.message).toBe(`not in this version: ${word}`)
    expect(fault.message).toContain(`not in this version: ${word}`)
    expect(issuesOf(fault)[0]!.line).toBeGreaterThan(0)
  })

  test('several issues: the message shows the first and counts the rest', () => {
    const fault = refusal(task('commnad: [y]\nreplicas: 0\nkind: x'))
    expect(fault.message).toMatch(/^unknown key 'commnad' .*\(and 2 more\)$/)
    expect(issuesOf(fault).map(({ path, line }) => [path, line])).toEqual([
      ['roles.a', 6],
      ['roles.a.replicas', 7],
      ['roles.a.kind', 8],
    ])
  })

  test.each(['last', 'all'])('a launch named %s, a word of the command line, is refused', (name) => {
    expect(refusal(`apiVersion: troupe/v1\nname: ${name}\nroles: { a: { command: [x] } }`).message).toContain(
      `'${name}' cannot be a run's name`,
    )
  })

  test('a role name with a slash is refused, before any log or shell sees it [FC-14 +A16]', () => {
    for (const name of ['a/b', 'a b', "a';id", '_x', 'x'.repeat(41), 'a.b', ''])
      expect(
        faultOf(() =>
          resolveLaunch({ apiVersion: 'troupe/v1', name: 'x', roles: { [name]: { command: ['x'] } } }),
        ).message,
      ).toContain('names match')
  })

  test('keys that are names of JavaScript are keys like any other', () => {
    const document = JSON.parse(
      '{"apiVersion":"troupe/v1","name":"x","roles":{' +
        '"constructor":{"command":["x"],"dependsOn":{"toString":"ready"}},' +
        '"toString":{"command":["x"],"env":{"constructor":"1","valueOf":"2"}}}}',
    ) as unknown
    const launch = resolveLaunch(document)
    expect(launch.roles.map(({ name }) => name)).toEqual(['constructor', 'toString'])
    expect(launch.roles[1]!.env).toEqual({ constructor: '1', valueOf: '2' })
    for (const at of ['', 'roles', 'roles.a', 'roles.a.env']) {
      const proto = (where: string, value: string): string => (at === where ? `"__proto__":${value},` : '')
      const role = `{${proto('roles.a', '{"shell":true}')}"command":["x"],"env":{${proto('roles.a.env', '"x"')}"E":"1"}}`
      const roles = `{${proto('roles', '{"command":["x"]}')}"a":${role}}`
      const spoiled = JSON.parse(
        `{${proto('', '{"polluted":1}')}"apiVersion":"troupe/v1","name":"x","roles":${roles}}`,
      ) as unknown
      expect(faultOf(() => resolveLaunch(spoiled)).message).toContain("unknown key '__proto__'")
    }
    expect(refusal(`${head}__proto__: { polluted: 1 }\nroles: { a: { command: [x] } }`).message).toContain(
      "unknown key '__proto__' (line 3)",
    )
    expect(({} as Record<string, unknown>)['polluted']).toBeUndefined()
    expect(
      faultOf(() =>
        resolveLaunch({
          apiVersion: 'troupe/v1',
          name: 'x',
          roles: { a: { command: ['x'], dependsOn: { constructor: 'ready' } } },
        }),
      ).message,
    ).toContain("no role 'constructor'")
  })

  test.each([[null], [3], ['text'], [[]], [[1]], [true]])(
    'a document that is %j is refused, not crashed on',
    (document) => {
      expect(faultOf(() => resolveLaunch(document)).code).toBe('SPEC_INVALID')
    },
  )

  test('a document nested a million deep is refused', () => {
    let deep: unknown = 1
    for (let i = 0; i < 1_000_000; i++) deep = { a: deep }
    expect(
      faultOf(() =>
        resolveLaunch({ apiVersion: 'troupe/v1', name: 'x', roles: { a: { command: ['x'], env: deep } } }),
      ).message,
    ).toContain('nested deeper')
  })

  test('fifty thousand unknown keys: the answer stays small', () => {
    const many = Object.fromEntries(Array.from({ length: 50_000 }, (_, i) => [`key${i}`, 1]))
    const fault = faultOf(() =>
      resolveLaunch({ apiVersion: 'troupe/v1', name: 'x', roles: { a: { command: ['x'] } }, ...many }),
    )
    expect(JSON.stringify(fault.toBody()).length).toBeLessThan(20_000)
  })
})
