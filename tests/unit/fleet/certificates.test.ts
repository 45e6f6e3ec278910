import { X509Certificate } from 'node:crypto'
import {
  chmod,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, onTestFinished, test, vi } from 'vitest'
import { ensureCertificates, serverFile } from '../../../src/fleet/certificates.ts'
import { layoutOf, type FleetLayout } from '../../../src/fleet/layout.ts'
import { mountTmpfs } from '../../support/mounts.ts'
import { daysFromNow } from '../../support/tls-server.ts'

const NAMES = ['localhost', '127.0.0.1', '::1', 'my_host', 'login1.example.org']
let home: string
let layout: FleetLayout
let dir: string
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), 'troupe-test-certificates-'))
  layout = layoutOf(home, join(home, 'local'), 'main')
  dir = join(layout.keys, 'tls')
})
afterEach(() => rm(home, { recursive: true, force: true }))

function files(): Promise<string[]> {
  return Promise.all(['authority.pem', 'server.pem'].map((name) => readFile(join(dir, name), 'utf8')))
}
/** Of authority and server. */
async function ends(): Promise<Date[]> {
  return (await files()).map((text) => new Date(new X509Certificate(text).validTo))
}
function daysUntil(end: Date): number {
  return Math.round((end.getTime() - Date.now()) / (24 * 3600 * 1000))
}

test('a fleet’s certificates are made once: 10 years and 1, for all names, each with its key in one file of ours', async () => {
  const { authority, made } = await ensureCertificates(layout, NAMES)
  expect(made).toEqual({ authority: true, server: true })
  const server = new X509Certificate(await readFile(serverFile(layout)))
  expect(server.verify(new X509Certificate(authority).publicKey)).toBe(true)
  expect(server.subjectAltName!.split(', ').length).toBe(NAMES.length)
  expect(new Date(server.validFrom).getTime()).toBeLessThan(Date.now() - 3600_000)
  expect((await ends()).map(daysUntil)).toEqual([3652, 365])
  expect(authority).not.toContain('PRIVATE')
  expect(await readdir(dir)).toEqual(['authority.pem', 'server.pem'])
  for (const name of await readdir(dir)) expect((await stat(join(dir, name))).mode & 0o777).toBe(0o600)
  expect((await stat(dir)).mode & 0o777).toBe(0o700)

  const before = await files()
  expect((await ensureCertificates(layout, NAMES)).made).toEqual({ authority: false, server: false })
  expect(await files()).toEqual(before)
})

describe('the server’s certificate is made anew, by the same authority', () => {
  test.each([
    ['31 days before its end: not yet', 334, false],
    ['29 days before its end', 336, true],
    ['after its end', 400, true],
  ])('%s', async (_, days, isNew) => {
    const { authority } = await ensureCertificates(layout, NAMES)
    const again = await ensureCertificates(layout, NAMES, daysFromNow(days))
    expect(again).toMatchObject({ authority, made: { authority: false, server: isNew } })
  })

  test('when it lacks a name; not when it has one too many', async () => {
    await ensureCertificates(layout, ['127.0.0.1', 'a.example.org'])
    expect((await ensureCertificates(layout, ['127.0.0.1'])).made.server).toBe(false)
    expect((await ensureCertificates(layout, ['127.0.0.1', '10.0.0.9'])).made.server).toBe(true)
    expect(new X509Certificate(await readFile(serverFile(layout))).checkIP('10.0.0.9')).toBe('10.0.0.9')
  })

  test.each([
    ['is spoilt', (text: string) => text.slice(0, 300)],
    [
      'has another key',
      (text: string, other: string) => text.slice(0, text.indexOf('-----BEGIN PRIVATE')) + other,
    ],
  ])('when its file %s', async (_, spoil) => {
    await ensureCertificates(layout, NAMES)
    const [authority, server] = await files()
    await writeFile(
      join(dir, 'server.pem'),
      spoil(server!, authority!.slice(authority!.indexOf('-----BEGIN PRIVATE'))),
    )
    expect((await ensureCertificates(layout, NAMES)).made).toEqual({ authority: false, server: true })
    expect((await ensureCertificates(layout, NAMES)).made.server).toBe(false)
  })

  test('it does not outlive its authority, and is not made again each time for that', async () => {
    await ensureCertificates(layout, NAMES)
    const late = daysFromNow(3640)
    expect((await ensureCertificates(layout, NAMES, late)).made).toEqual({ authority: false, server: true })
    const [authority, server] = await ends()
    expect(server).toEqual(authority)
    expect((await ensureCertificates(layout, NAMES, late)).made.server).toBe(false)
  })
})

test('the authority has ended: a new one, and a new certificate by it', async () => {
  const { authority } = await ensureCertificates(layout, NAMES)
  const again = await ensureCertificates(layout, NAMES, daysFromNow(3700))
  expect(again.made).toEqual({ authority: true, server: true })
  expect(again.authority).not.toBe(authority)
})

test('the authority’s file is spoilt: it is not replaced in silence, since handed out credentials pin it', async () => {
  await ensureCertificates(layout, NAMES)
  await writeFile(join(dir, 'authority.pem'), 'x')
  await expect(ensureCertificates(layout, NAMES)).rejects.toMatchObject({
    code: 'SETUP',
    hint: expect.stringContaining('backup'),
  })
  expect((await files())[0]).toBe('x')
})

test('two fleets of one name have authorities that are told apart', async () => {
  const other = layoutOf(join(home, 'other'), join(home, 'other/local'), 'main')
  const [a, b] = [await ensureCertificates(layout, NAMES), await ensureCertificates(other, NAMES)].map(
    ({ authority }) => new X509Certificate(authority),
  )
  expect(a!.subject).not.toBe(b!.subject)
})

describe('bad places', () => {
  test('a full disk while it is renewed: said; the old one stays, and is renewed when there is room', async () => {
    await mkdir(layout.keys, { recursive: true, mode: 0o700 })
    const disk = mountTmpfs(dir, '256k')
    try {
      await ensureCertificates(layout, NAMES)
      const before = await files()
      disk.fill()
      await expect(ensureCertificates(layout, NAMES, daysFromNow(340))).rejects.toMatchObject({
        code: 'SETUP',
      })
      expect(await files()).toEqual(before)
      disk.free()
      expect(await readdir(dir)).toEqual(['authority.pem', 'server.pem'])
      expect((await ensureCertificates(layout, NAMES, daysFromNow(340))).made.server).toBe(true)
    } finally {
      disk.unmount()
    }
  })

  test('a directory that others can write: nothing is made in it, and no program is started there', async () => {
    await mkdir(dir, { recursive: true, mode: 0o700 })
    await chmod(dir, 0o777)
    await expect(ensureCertificates(layout, NAMES)).rejects.toMatchObject({
      code: 'PERMISSION',
      hint: expect.stringContaining('chmod'),
    })
    expect(await readdir(dir)).toEqual([])
  })

  test('a link in the place of the server’s file is replaced, and what it points to stays', async () => {
    await ensureCertificates(layout, NAMES)
    const victim = join(home, 'victim')
    await writeFile(victim, 'precious', { mode: 0o600 })
    await rm(join(dir, 'server.pem'))
    await symlink(victim, join(dir, 'server.pem'))
    expect((await ensureCertificates(layout, NAMES)).made.server).toBe(true)
    expect(await readFile(victim, 'utf8')).toBe('precious')
    expect((await lstat(join(dir, 'server.pem'))).isSymbolicLink()).toBe(false)
  })

  test('a key that others can read is not used', async () => {
    await ensureCertificates(layout, NAMES)
    await chmod(join(dir, 'authority.pem'), 0o640)
    await expect(ensureCertificates(layout, NAMES)).rejects.toMatchObject({ code: 'PERMISSION' })
  })

  test('a home whose name means something to openssl’s configuration, and a configuration that is not there', async () => {
    vi.stubEnv('OPENSSL_CONF', '/nowhere/openssl.cnf')
    onTestFinished(() => void vi.unstubAllEnvs())
    const odd = layoutOf(join(home, `a $b #c "d' \\e`), join(home, 'local'), 'main')
    expect((await ensureCertificates(odd, NAMES)).made.server).toBe(true)
  })

  test('no openssl: said, with both ways out', async () => {
    vi.stubEnv('PATH', join(home, 'nothing'))
    onTestFinished(() => void vi.unstubAllEnvs())
    await expect(ensureCertificates(layout, NAMES)).rejects.toMatchObject({
      code: 'SETUP',
      message: expect.stringContaining('no openssl'),
      hint: expect.stringMatching(/apt-get install openssl.*--cert/),
    })
    expect(await readdir(dir)).toEqual([])
  })
})
