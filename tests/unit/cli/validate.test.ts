import { expect, test } from 'vitest'
import { cli } from '../../support/cli.ts'

function validate(shape: string, argv: string[] = []) {
  const stdin = `apiVersion: troupe/v1\nname: x\nroles: { t: { kind: torchrun, shape: "${shape}", command: [t.py] } }\n`
  return cli(['validate', '-', ...argv], { stdin })
}
const NOTE = 'a node that comes later is not taken in'

test.each([
  ['1:2x4', true],
  ['2:4x1', true],
  ['2x4', false],
  ['2:2x4', false],
])(
  'a shape of %s: validate says of an elastic one alone that late nodes are not taken in',
  async (shape, isSaid) => {
    const { code, stdout, stderr } = await validate(shape)
    expect({ code, said: stderr.includes(NOTE) }).toEqual({ code: 0, said: isSaid })
    expect(stdout).toContain('ok: x')
    if (isSaid) expect(stderr).toContain(`${shape[0]} to ${shape[2]}`)
  },
)

test('the note is talk: not in --json, not with -q', async () => {
  const asJson = await validate('1:2x4', ['--json'])
  expect(JSON.parse(asJson.stdout)).toMatchObject({ ok: true })
  expect((await validate('1:2x4', ['-q'])).stderr).toBe('')
})
