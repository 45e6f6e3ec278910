/**
 * Certificates by the `openssl` program: one is signed at a time, in a directory that goes when it is done.
 * Keys are made here, by Node; openssl sees them as files that only we can read. Owns no file that stays.
 *
 * `openssl ca` rather than `openssl x509`: only it can set when a certificate begins, in every version since
 * 1.0.2. Each call gets a configuration of its own, so that the machine's does not matter.
 */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault, isFault } from '../protocol/faults.ts'
import { runProgram } from './run.ts'

/** A certificate and its private key, both PEM. */
export interface KeyPair {
  certificate: string
  key: string
}

export interface CertificateRequest {
  /** letters, digits, spaces and hyphens; at most 64 */
  commonName: string
  /** lines of openssl's x509v3_config, such as `keyUsage = critical, keyCertSign` */
  extensions: readonly string[]
  /** what a line of `extensions` refers to as `@names`: `DNS.1 = localhost` */
  names: readonly string[]
  notBefore: Date
  notAfter: Date
}

/** A busy machine, a network file system: it takes 20 ms otherwise. */
const OPENSSL_MS = 30_000

/**
 * A new key, and a certificate for it.
 *
 * @param issuer  who signs it; null: it signs itself
 * @param dir     a directory of ours, for the work
 * @throws {Fault} SETUP when there is no openssl here, or it fails
 */
export async function issueCertificate(
  request: CertificateRequest,
  issuer: KeyPair | null,
  dir: string,
): Promise<KeyPair> {
  const key = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({
    type: 'pkcs8',
    format: 'pem',
  }) as string
  const cwd = await mkdtemp(join(dir, '.openssl-'))
  const write = (name: string, text: string): Promise<void> =>
    writeFile(join(cwd, name), text, { mode: 0o600 })
  try {
    await write('openssl.cnf', configurationText(request))
    await write('subject.key', key)
    await write('index.txt', '')
    // positive, and without a zero in front
    await write('serial', `01${randomBytes(15).toString('hex')}\n`)
    if (issuer !== null) {
      await write('issuer.pem', issuer.certificate)
      await write('issuer.key', issuer.key)
    }
    await openssl(['req', '-new', '-key', 'subject.key', '-out', 'request.pem'], cwd)
    const by =
      issuer === null
        ? ['-selfsign', '-keyfile', 'subject.key']
        : ['-cert', 'issuer.pem', '-keyfile', 'issuer.key']
    const dates = ['-startdate', utcOf(request.notBefore), '-enddate', utcOf(request.notAfter)]
    await openssl(
      [
        'ca',
        '-batch',
        '-notext',
        ...by,
        '-in',
        'request.pem',
        '-out',
        'signed.pem',
        '-extensions',
        'extensions',
        ...dates,
      ],
      cwd,
    )
    return { certificate: await readFile(join(cwd, 'signed.pem'), 'utf8'), key }
  } catch (error) {
    if (isFault(error)) throw error
    throw new Fault('SETUP', `no certificate can be made in '${dir}': ${(error as Error).message}`, {
      cause: error,
    })
  } finally {
    await rm(cwd, { recursive: true, force: true })
  }
}

async function openssl([verb, ...args]: readonly string[], cwd: string): Promise<void> {
  await runProgram(['openssl', verb!, '-config', 'openssl.cnf', ...args], {
    timeoutMs: OPENSSL_MS,
    cwd,
    // a variable of the user's that points nowhere would fail it before it reads ours
    env: { ...process.env, OPENSSL_CONF: 'openssl.cnf' },
  }).catch((error: unknown) => {
    if (!isFault(error)) throw error
    const isMissing = error.data['reason'] === 'not-started'
    throw new Fault(
      'SETUP',
      isMissing ? 'there is no openssl on PATH to make a certificate' : error.message,
      {
        hint: 'install openssl (Debian: apt-get install openssl), or give certificates: --cert FILE --key FILE',
        data: error.data,
        cause: error,
      },
    )
  })
}

/** All names are relative: the directory's own may have a `$` or a `#`, which mean something there. */
function configurationText({ commonName, extensions, names }: CertificateRequest): string {
  return `[req]
distinguished_name = subject
prompt = no
[subject]
commonName = ${commonName}
[ca]
default_ca = here
[here]
database = index.txt
serial = serial
new_certs_dir = .
default_md = sha256
policy = policy
unique_subject = no
[policy]
commonName = supplied
[extensions]
${extensions.join('\n')}
[names]
${names.join('\n')}
`
}

/** `20261130182500Z` */
function utcOf(date: Date): string {
  return `${date.toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
}
