import { statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { readExecFile, writeExecFile } from '../../../src/process/exec-file.ts'
import { removeDirectory, temporaryDirectory } from '../../support/linux-host.ts'

const directory = temporaryDirectory()
const file = join(directory, 'exec')
afterAll(() => removeDirectory(directory))

const EXEC = {
  cwd: '/a dir',
  logDir: '/logs',
  cgroup: null,
  bootId: 'boot',
  oomKills: 3,
  argv: ['a program', '', 'new\nline', '--x=1'],
  env: { A: 'b=c', EMPTY: '', TEXT: '漢字\n"\'' },
}

test('what is written is read back, whatever the words hold [FC-14]', () => {
  for (const exec of [EXEC, { ...EXEC, cgroup: '/sys/fs/cgroup/x', oomKills: null, env: {} }]) {
    writeExecFile(file, exec)
    expect(readExecFile(file)).toEqual(exec)
  }
})

test('nobody else may read it: environments hold secrets', () => {
  writeExecFile(file, EXEC)
  expect(statSync(file).mode & 0o777).toBe(0o600)
})

test('a NUL byte is refused by name: no program could be given it', () => {
  expect(() => writeExecFile(file, { ...EXEC, argv: ['a\0b'] })).toThrow(
    expect.objectContaining({ code: 'WORKER_CONFIG', message: expect.stringContaining('a\\0b') }),
  )
})

test('a directory that is not there is a fault of the spool', () => {
  expect(() => writeExecFile(join(directory, 'no', 'exec'), EXEC)).toThrow(
    expect.objectContaining({ code: 'SPOOL' }),
  )
})

test('no file, or half of one, is no start', () => {
  expect(readExecFile(join(directory, 'none'))).toBeNull()
  writeFileSync(file, '/cwd\0/logs\0')
  expect(readExecFile(file)).toBeNull()
})
