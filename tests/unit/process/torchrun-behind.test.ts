/** Which torchrun a role gets whose PATH only its set-up or its prefix knows. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildCommand } from '../../../src/process/command.ts'
import type { ForkSpec } from '../../../src/protocol/launch/resolved.ts'
import { run } from '../../support/fleet.ts'
import { bindingsOf, forkSpec, preparedFork } from '../../support/fork-spec.ts'

let bin: string
beforeAll(async () => void (bin = await mkdtemp(join(tmpdir(), 'troupe-behind-'))))
afterAll(() => rm(bin, { recursive: true }))

function build(changes: Partial<ForkSpec>): [string, ...string[]] {
  const torchrun = { nnodes: '1', nodeRank: 0, nproc: 1, hostsRendezvous: true }
  return buildCommand({
    spec: forkSpec({ kind: 'torchrun', command: ['train.py'], torchrun, ...changes }),
    prepared: preparedFork(),
    bindings: bindingsOf({ rendezvous: { host: '127.0.0.1', port: 12_900 } }),
    node: 'n0',
    rankShim: ['/shim', '--rank'],
    torchLogDir: '/spool/torch',
    setUpFile: join(bin, 'set-up'),
    python: null,
  }) as [string, ...string[]]
}

test.each([
  ['torchrun beside python', ['a:torchrun', 'a:python'], 'a:torchrun'],
  ['no torchrun', ['a:python'], 'a:python -m torch.distributed.run'],
  ['python3 alone', ['a:python3'], 'a:python3 -m torch.distributed.run'],
  [
    'the torchrun of another Python behind',
    ['a:python', 'b:torchrun', 'b:python'],
    'a:python -m torch.distributed.run',
  ],
  ['torchrun alone', ['a:torchrun'], 'a:torchrun'],
])('behind a set-up or a prefix, %s: %j become %s', async (_, programs, started) => {
  const root = await mkdtemp(join(bin, 'path-'))
  for (const program of programs) {
    const [where, name] = program.split(':') as [string, string]
    await mkdir(join(root, where), { recursive: true })
    // a look at what it has is answered with yes
    const text = `#!/bin/sh\ncase "$1" in -c) exit 0;; -m) echo "${program} -m $2 $3";; *) echo "${program} $1";; esac\n`
    await writeFile(join(root, where, name), text, { mode: 0o755 })
  }
  // no python of this machine is on it, only what a shell needs
  const tools = join(root, 'tools')
  await mkdir(tools)
  for (const tool of ['sh', 'bash', 'env']) await symlink(`/bin/${tool}`, join(tools, tool))
  const env = { PATH: [join(root, 'a'), join(root, 'b'), tools].join(':') }
  for (const changes of [{ setup: 'true' }, { prefix: ['env'] }]) {
    const [program, ...args] = build(changes)
    const { stdout } = await run(program, args, { env, timeoutMs: 10_000 })
    expect(stdout, JSON.stringify(changes)).toBe(`${started} --nnodes\n`)
  }
})
