import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildCommand, type CommandInput } from '../../../src/process/command.ts'
import { findTorchPython } from '../../../src/system/find-torch.ts'
import { readSetUp, writeSetUp } from '../../../src/process/set-up.ts'
import { run as runProgram } from '../../support/fleet.ts'
import { bindingsOf, forkSpec, preparedFork } from '../../support/fork-spec.ts'

function build(changes: Partial<CommandInput> = {}): string[] {
  return buildCommand({
    spec: forkSpec(),
    prepared: preparedFork(),
    bindings: bindingsOf(),
    node: 'n0',
    rankShim: ['/shim', '--rank'],
    torchLogDir: '/spool/torch',
    setUpFile: join(bin, 'set-up'),
    python: null,
    ...changes,
  })
}

/** argv as the last program of a chain saw it, and how it ended */
async function run(
  [file, ...args]: string[],
  env: NodeJS.ProcessEnv = process.env,
): Promise<{ code: number; stdout: string }> {
  const { code, stdout } = await runProgram(file!, args, { env, timeoutMs: 10_000 })
  return { code, stdout }
}
const showArgv = [process.execPath, '-e', 'console.log(JSON.stringify(process.argv.slice(1)))', '--']
const nasty = ['a b', '', '"', "it's", '$HOME', '`id`', '; exit 9', 'new\nline', '*', 'größe']

let bin: string
beforeAll(async () => void (bin = await mkdtemp(join(tmpdir(), 'troupe-command-'))))
afterAll(() => rm(bin, { recursive: true }))

test('an argument arrives as it was written, through set-up and prefix too, whatever a shell would make of it [FC-14 U-14]', async () => {
  for (const changes of [
    {},
    { setup: 'X=1' },
    { prefix: ['env', 'A=b c'] },
    { setup: 'X=1', prefix: ['env', 'A=b c'] },
  ]) {
    const { stdout } = await run(build({ spec: forkSpec({ command: [...showArgv, ...nasty], ...changes }) }))
    expect(JSON.parse(stdout)).toEqual(nasty)
  }
})

test('templates are filled in command and prefix, and an unknown one is refused by its name [A-28]', () => {
  const spec = forkSpec({
    index: 2,
    command: ['serve', '--port=${{ port.0 }}', '--peers=${{ roles.x.addrs }}', '${{ node }}/${{ index }}'],
    prefix: ['on', '${{ host }}'],
  })
  const bindings = bindingsOf({ roles: { x: { addr: 'a:1', addrs: ['a:1', 'b:2'] } } })
  expect(build({ spec, bindings, prepared: preparedFork({ ports: [12_345] }) })).toEqual([
    'on',
    '10.0.0.7',
    'serve',
    '--port=12345',
    '--peers=a:1,b:2',
    'n0/2',
  ])
  expect(() => build({ spec: forkSpec({ command: ['x', '${{ prt.0 }}'] }) })).toThrow(
    expect.objectContaining({ code: 'WORKER_CONFIG', message: expect.stringContaining('prt.0') }) as Error,
  )
})

test('a prefix stands in front of everything, torchrun too [U-14]', () => {
  const prefix = ['pixi', 'run', '-e', 'cuda']
  expect(build({ spec: forkSpec({ command: ['python', 'x.py'], prefix }) })).toEqual([
    ...prefix,
    'python',
    'x.py',
  ])
  expect(build(gang({ prefix })).slice(0, 6)).toEqual([...prefix, 'sh', '-c'])
})

test('what the set-up exports, the worker has [A-04]', async () => {
  const setup = 'export GREETING="hello $0"\ncd /\n# a comment at the end'
  const { stdout } = await run(
    build({ spec: forkSpec({ setup, command: ['bash', '-c', 'echo "$GREETING $PWD $#"', 'x', '1', '2'] }) }),
  )
  expect(stdout).toBe('hello troupe / 2\n')
})

test('a set-up that fails ends the worker with the code of the command that failed, and the worker’s own program never runs [A-04]', async () => {
  const marker = join(bin, 'ran')
  const command = ['touch', marker]
  for (const [setup, code] of [
    ['exit 7', 7],
    ['(exit 5); true', 5],
    ['no-such-command-here --load x', 127],
    ['echo "unclosed', 2],
    ['if true; then (exit 3); fi\necho later', 3],
  ] as const)
    expect((await run(build({ spec: forkSpec({ setup, command }) }))).code, setup).toBe(code)
  expect((await run(['test', '-e', marker])).code).toBe(1)
})

test.each([
  ['a command of it fails', 'true\nfalse || true\n(exit 4) # here\necho later', 4, '( exit 4 )'],
  ['a program that is not there', 'no-such-command-here --load x', 127, 'no-such-command-here --load x'],
  ['what it sources fails', 'source lib.sh', 1, 'grep -q nothing /dev/null'],
  [
    'what it sources is not there',
    'true\nsource /no/such/venv/bin/activate\ntrue',
    1,
    'source /no/such/venv/bin/activate',
  ],
  ['a variable is not set', 'set -u; echo $NO_SUCH_VARIABLE', 1, 'echo $NO_SUCH_VARIABLE'],
  ['what it becomes is not there', 'exec no-such-program', 127, 'exec no-such-program'],
  ['it exits by itself', 'exit 7', 7, ''],
  [
    'it exits by itself in a function, after a failure that it caught',
    'f() { source /no/such || exit 5; }; f',
    5,
    '',
  ],
  ['it goes on after failures and then exits', 'set +e\nfalse\nexit 3', 3, ''],
  ['it is no bash', 'echo "unclosed', 2, ''],
  ['it dies by a signal', 'kill -KILL $$', -1, ''],
  ['it exits 0, and the command never began', 'exit 0', 0, ''],
  ['an own trap, noclobber, posix and -u', 'set -o posix; set -uC; trap "echo mine" ERR; false', 1, ''],
])(
  'the set-up ends the worker (%s): its file says so, and at which command where that is known [A-04]',
  async (_, setup, code, step) => {
    const file = join(bin, 'set-up')
    const startup = join(bin, 'startup.sh')
    await writeFile(join(bin, 'lib.sh'), 'true\ngrep -q nothing /dev/null\n')
    await writeFile(startup, ': "[x]\ny"\n')
    const argv = build({ spec: forkSpec({ setup: setup.replace('lib.sh', './lib.sh'), command: ['true'] }) })
    // The last command of a start-up file must not be taken for one of the set-up.
    for (const env of [{}, { BASH_ENV: startup }]) {
      writeSetUp(file)
      const ran = await run(['env', '-C', bin, ...argv], { ...process.env, ...env })
      expect([ran.code, readSetUp(file)], JSON.stringify(env)).toEqual([code, step])
    }
  },
)

test.each([
  'true',
  'set +e; false',
  'false || true',
  'set -o posix; set -uC; trap "echo mine" ERR',
  'set -a; X=1',
  'cat > /dev/null <<EOF\ntext',
])(
  'the set-up is passed (%s): an exit is the command’s own, also when there is no such program',
  async (setup) => {
    const file = join(bin, 'set-up')
    for (const [command, code] of [
      [['bash', '-c', '[ -z "${!troupe_*}" ] && exit 7'], 7],
      [['no-such-program-here'], 127],
    ] as const) {
      writeSetUp(file)
      const ran = await run(build({ spec: forkSpec({ setup, command: [...command] }) }))
      expect([ran.code, readSetUp(file)]).toEqual([code, null])
    }
  },
)

test('a here-document that the set-up never closes swallows none of the worker’s command [A-04]', async () => {
  const { stdout } = await run(
    build({ spec: forkSpec({ setup: 'cat > /dev/null <<EOF\ntext \\', command: ['echo', 'ran'] }) }),
  )
  expect(stdout).toBe('ran\n')
})

test('after the set-up the worker is bash’s own process, with its exit code, and 127 when there is no such program [A-02 FC-24]', async () => {
  expect(
    (await run(build({ spec: forkSpec({ setup: 'true', command: ['bash', '-c', 'exit 42'] }) }))).code,
  ).toBe(42)
  expect(
    (await run(build({ spec: forkSpec({ setup: 'true', command: ['no-such-program-here'] }) }))).code,
  ).toBe(127)
})

test('with shell the one string is run by bash, pipes and all [A-04]', async () => {
  const spec = forkSpec({ shell: true, command: ['echo one two | tr a-z A-Z; exit 3'] })
  expect(build({ spec })).toEqual(['bash', '-c', 'echo one two | tr a-z A-Z; exit 3'])
  expect(await run(build({ spec }))).toEqual({ code: 3, stdout: 'ONE TWO\n' })
})

function gang(
  changes: Partial<CommandInput['spec']> = {},
  shape: Partial<NonNullable<CommandInput['spec']['torchrun']>> = {},
  host = '10.0.0.1',
): Partial<CommandInput> {
  return {
    spec: forkSpec({
      kind: 'torchrun',
      command: ['train.py', '--lr', '1e-3'],
      torchrun: { nnodes: '2', nodeRank: 1, nproc: 4, hostsRendezvous: false, ...shape },
      ...changes,
    }),
    bindings: bindingsOf({ rendezvous: { host, port: 12_900 } }),
  }
}

function valueOf(argv: string[], flag: string): string | undefined {
  return argv[argv.indexOf(flag) + 1]
}

test('a gang of fixed size uses a static rendezvous, with each rank behind its shim [A-27]', () => {
  expect(build(gang()).join(' ')).toBe(
    'torchrun --nnodes 2 --nproc-per-node 4 --node-rank 1 --master-addr 10.0.0.1 --master-port 12900 ' +
      '--max-restarts 0 --monitor-interval 0.1 --log-dir /spool/torch --no-python /shim --rank python -u train.py --lr 1e-3',
  )
})

test('an elastic gang meets by c10d, hosted by node rank 0 alone, under addresses rather than host names [A-27]', () => {
  const argv = build(gang({}, { nnodes: '1:2', hostsRendezvous: true, nodeRank: 0 }))
  expect(argv.slice(0, 15).join(' ')).toBe(
    'torchrun --nnodes 1:2 --nproc-per-node 4 --rdzv-backend c10d --rdzv-endpoint 10.0.0.1:12900 ' +
      '--rdzv-id run-1.trainer.1 --rdzv-conf is_host=1 --local-addr 10.0.0.7',
  )
  expect(build(gang({}, { nnodes: '1:2' }))).toContain('is_host=0')
  expect(argv).not.toContain('--node-rank')
})

test('an IPv6 rendezvous is written in the form that torch reads [A-27 A-39 FC-15]', () => {
  expect(valueOf(build(gang({}, {}, 'fd00::1')), '--master-addr')).toBe('[fd00::1]')
  expect(valueOf(build(gang({}, { nnodes: '1:2' }, 'fd00::1')), '--rdzv-endpoint')).toBe('[fd00::1]:12900')
})

test('a Python file or -m module gets the interpreter that torch has, any other program is run as it is [A-27]', () => {
  const rankPart = (changes: Parameters<typeof gang>[0], python: string | null): string[] => {
    const argv = build({ ...gang(changes), python })
    return argv.slice(argv.indexOf('--rank') + 1)
  }
  expect(rankPart({ command: ['-m', 'pkg.train', 'x'] }, '/venv/bin/python')).toEqual([
    '/venv/bin/python',
    '-u',
    '-m',
    'pkg.train',
    'x',
  ])
  expect(rankPart({ command: ['./train', '--x'] }, '/venv/bin/python')).toEqual(['./train', '--x'])
  expect(rankPart({ command: ['ulimit -c 0; ./train.py'], shell: true }, null)).toEqual([
    'bash',
    '-c',
    'ulimit -c 0; ./train.py',
  ])
  expect(build({ ...gang(), python: '/venv/bin/python' }).slice(0, 3)).toEqual([
    '/venv/bin/python',
    '-m',
    'torch.distributed.run',
  ])
})

test('a torchrun worker without a rendezvous is refused rather than started alone [A-27]', () => {
  expect(() => build({ ...gang(), bindings: bindingsOf() })).toThrow(
    expect.objectContaining({ code: 'WORKER_CONFIG' }) as Error,
  )
})

test('torch runs with the interpreter that torchrun on PATH names; set-up and prefix decide for themselves [A-27 U-14]', async () => {
  const program = async (name: string, text: string): Promise<void> => {
    await writeFile(join(bin, name), text)
    await chmod(join(bin, name), 0o755)
  }
  await program('python3', '')
  expect(findTorchPython(forkSpec(), bin)).toBe(join(bin, 'python3'))
  expect(findTorchPython(forkSpec(), undefined)).toBe('python3')
  await program('torchrun', '#!/opt/venv/bin/python3.11\nimport torch\n')
  expect(findTorchPython(forkSpec(), `/nowhere::${bin}`)).toBe('/opt/venv/bin/python3.11')
  expect(findTorchPython(forkSpec({ setup: 'source .venv/bin/activate' }), bin)).toBeNull()
  expect(findTorchPython(forkSpec({ prefix: ['pixi', 'run'] }), bin)).toBeNull()
  await program('torchrun', "#!/bin/sh\n'''exec' '/a path/python' \"$0\" \"$@\"\n")
  expect(findTorchPython(forkSpec(), bin)).toBeNull()
})
