// What only the tests need beside the product's own set-up: a C compiler (for the C shim's half of the
// contract), libfaketime (an agent with a wrong wall clock), iproute2 (several machines), openssl
// (certificates of a bus), PostgreSQL (a service that nobody here wrote).
// Installed where we may (root on Debian); else named, and with CI=true a failure.
import { quiet, say, SetupError, step } from './say.mjs'

const TOOLS = [
  {
    name: 'a C compiler',
    there: async () => (await quiet(['cc', '--version'])).code === 0,
    packages: ['gcc', 'libc6-dev'],
  },
  {
    name: 'libfaketime',
    there: async () => (await quiet(['sh', '-c', 'ls /usr/lib/*/faketime/libfaketime.so.1'])).code === 0,
    packages: ['libfaketime'],
  },
  {
    name: 'openssl',
    there: async () => (await quiet(['openssl', 'version'])).code === 0,
    packages: ['openssl'],
  },
  {
    name: 'unshare',
    there: async () => (await quiet(['unshare', '--version'])).code === 0,
    packages: ['util-linux'],
  },
  {
    // machines of network namespaces
    name: 'iproute2',
    there: async () => (await quiet(['ip', '-V'])).code === 0,
    packages: ['iproute2'],
  },
  {
    // and psql
    name: 'PostgreSQL',
    there: async () =>
      (await quiet(['sh', '-c', 'ls /usr/lib/postgresql/*/bin/postgres && psql -V'])).code === 0,
    packages: ['postgresql'],
  },
]

export async function testTools() {
  const missing = []
  for (const tool of TOOLS) if (!(await tool.there())) missing.push(tool)
  if (missing.length === 0) return
  const mayInstall = process.getuid?.() === 0 && (await quiet(['apt-get', '--version'])).code === 0
  if (mayInstall) {
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    await step('reading package lists', ['apt-get', 'update', '-q'], { env })
    await step(
      `installing ${missing.map((tool) => tool.name).join(', ')}`,
      [
        'apt-get',
        'install',
        '-y',
        '-q',
        '--no-install-recommends',
        ...missing.flatMap((tool) => tool.packages),
      ],
      { env },
    )
  }
  for (const tool of missing)
    if (!(await tool.there())) {
      const text = `${tool.name} is missing: apt-get install ${tool.packages.join(' ')}`
      if (process.env.CI === 'true') throw new SetupError(text)
      say(`${text}; the tests that need it are skipped, or fail`)
    }
}
