import { describe, expect, test } from 'vitest'
import { Fault } from '../../../../src/protocol/faults.ts'
import {
  applySets,
  issueText,
  parseLaunchText,
  resolveLaunch,
  withAbsoluteCwd,
  type LaunchIssue,
} from '../../../../src/protocol/launch/document.ts'
import { Launch, resourcesOf } from '../../../../src/protocol/launch/resolved.ts'

function faultOf(run: () => unknown): Fault {
  try {
    run()
  } catch (error) {
    if (error instanceof Fault) return error
    throw error
  }
  throw new Error('nothing was refused')
}
function resolveText(text: string): Launch {
  const { document, source } = parseLaunchText(text, 'a.yaml')
  return resolveLaunch(document, source)
}
function refusal(text: string): Fault {
  return faultOf(() => resolveText(text))
}
function issuesOf(fault: Fault): LaunchIssue[] {
  return fault.data['issues'] as LaunchIssue[]
}

const head = 'apiVersion: troupe/v1\nname: x\n'
function task(lines: string, more = ''): string {
  return `${head}roles:\n  a:\n    command: [x]\n${lines
    .split('\n')
    .map((line) => `    ${line}\n`)
    .join('')}${more}`
}

const WHOLE = `
apiVersion: troupe/v1
name: ppo-dev
backend: local
cwd: /work
setup: |
  module load cuda; source .venv/bin/activate
env: { NCCL_DEBUG: WARN, LEVEL: 1.10 }
roles:
  runtime:
    kind: service
    replicas: 2
    resources: [{ cpus: 32, memory: 64GB, ports: 1 }, { cpus: 16, memory: 32GiB, ports: 2 }]
    command: [python, -m, runtime_server, --host, 0.0.0.0, --port, "\${{ port.0 }}"]
    ready: { http: { port: 0, path: /health }, timeout: 10m }
    prefix: [pixi, run, -e, cuda]
  trainer:
    kind: torchrun
    shape: 1:2x8
    resources: { gpus: 8, cpus: 64, memory: 500GB }
    dependsOn: { runtime: { condition: ready, timeout: 20m } }
    env: { REMOTE_RUNTIME_URL: "http://\${{ roles.runtime.addr }}", NCCL_DEBUG: INFO }
    command: [train.py, --lr, 1e-3, --steps, 100, --fast, true]
    restart: { policy: on-failure, max: 3, window: 1h, backoff: [1s, 30s], scope: role, not: ["CUDA out of memory"] }
    stop: { signal: INT, grace: 4:00:00, order: parallel }
    nodelist: [n0, n1]
    exclude: [n2]
    network: { interface: eth1 }
    preStop: { exec: [./save], timeout: 20s }
    fenceAfter: 1h30m
    failFast: false
stopWhen: trainer.done
deadlines: { queue: 24h, run: 12h }
`

function launchOf(
  roles: Record<string, unknown>,
  more: Record<string, unknown> = {},
): Record<string, unknown> {
  return { apiVersion: 'troupe/v1', name: 'big', roles, ...more }
}
function manyRoles(count: number, role: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, { command: ['x'], ...role }]))
}
function messageOf(document: Record<string, unknown>): string {
  try {
    resolveLaunch(document)
  } catch (error) {
    return (error as Fault).message
  }
  return 'resolved'
}

describe('bounds of a launch: refused with both numbers, and what is within them is resolved', () => {
  test('workers of a run, whichever way they are written', () => {
    expect(messageOf(launchOf(manyRoles(2, { replicas: 10_000 })))).toBe('resolved')
    expect(messageOf(launchOf({ a: { command: ['x'], replicas: 20_000 } }))).toBe('resolved')
    expect(messageOf(launchOf(manyRoles(11, { replicas: 10_000 })))).toBe(
      '110000 workers in 11 roles; a run has at most 20000 at roles',
    )
    expect(
      messageOf(
        launchOf({
          ...manyRoles(1, { replicas: 10_001 }),
          t: { kind: 'torchrun', shape: '10000x1', command: ['x'] },
        }),
      ),
    ).toBe('20001 workers in 2 roles; a run has at most 20000 at roles')
  })

  test('bytes of the resolved form: each role has 100 kB of its own, or all share them', () => {
    const env = { BIG: 'x'.repeat(100_000) }
    expect(messageOf(launchOf(manyRoles(50, {}), { env }))).toBe('resolved')
    expect(messageOf(launchOf(manyRoles(50, { env })))).toMatch(
      /^the launch has 50\d{5} bytes with its defaults filled in; at most 2097152/,
    )
    expect(messageOf(launchOf(manyRoles(100, {}), { setup: 'x'.repeat(100_000) }))).toMatch(
      /^the launch has 10\d{6} bytes/,
    )
  })

  test('conditions between roles', () => {
    const dependsOn = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`r${i}`, 'started']))
    const roles = (waiting: number) => ({
      ...manyRoles(100, {}),
      ...Object.fromEntries(
        Array.from({ length: waiting }, (_, i) => [`w${i}`, { command: ['x'], dependsOn }]),
      ),
    })
    expect(messageOf(launchOf(roles(50)))).toBe('resolved')
    expect(messageOf(launchOf(roles(51)))).toBe('5100 conditions in dependsOn; at most 5000 at roles')
  })

  test('a name of megabytes is refused in a few words', () => {
    expect(messageOf(launchOf({ ['x'.repeat(1_000_000)]: { command: ['x'] } })).length).toBeLessThan(3000)
  })
})

describe('resolving', () => {
  test('a whole document becomes numbers and complete roles, in its order [A-04 K-26 U-14]', () => {
    const launch = resolveText(WHOLE)
    expect(Launch.parse(launch)).toEqual(launch)
    expect(launch.roles.map((role) => role.name)).toEqual(['runtime', 'trainer'])
    const [runtime, trainer] = launch.roles
    expect(runtime).toMatchObject({
      kind: 'service',
      replicas: 2,
      nproc: 0,
      prefix: ['pixi', 'run', '-e', 'cuda'],
      cwd: '/work',
      restart: { policy: 'never' },
      resources: [
        { cpus: 32, memoryBytes: 64e9, ports: 1 },
        { cpus: 16, memoryBytes: 32 * 2 ** 30, ports: 2 },
      ],
      ready: {
        kind: 'http',
        port: 0,
        path: '/health',
        timeoutMs: 600_000,
        intervalMs: 1000,
        attemptTimeoutMs: 2000,
        failures: 3,
      },
      env: {},
    })
    expect(launch.env).toEqual({ NCCL_DEBUG: 'WARN', LEVEL: '1.10' })
    expect(trainer).toMatchObject({
      replicas: 2,
      minReplicas: 1,
      nproc: 8,
      command: ['train.py', '--lr', '1e-3', '--steps', '100', '--fast', 'true'],
      dependsOn: [{ role: 'runtime', condition: 'ready', timeoutMs: 1_200_000 }],
      env: { NCCL_DEBUG: 'INFO', REMOTE_RUNTIME_URL: 'http://${{ roles.runtime.addr }}' },
      restart: {
        policy: 'on-failure',
        max: 3,
        windowMs: 3_600_000,
        backoffMs: [1000, 30_000],
        scope: 'role',
        not: ['CUDA out of memory'],
      },
      stop: { signal: 'SIGINT', graceMs: 14_400_000, order: 'parallel' },
      nodelist: ['n0', 'n1'],
      exclude: ['n2'],
      network: { interface: 'eth1' },
      failFast: false,
      fenceAfterMs: 5_400_000,
      preStop: { kind: 'exec', command: ['./save'], timeoutMs: 20_000 },
      setup: 'module load cuda; source .venv/bin/activate\n',
    })
    expect(launch.stopWhen).toEqual({ role: 'trainer', condition: 'done' })
    expect(launch.deadlines).toEqual({ queueMs: 86_400_000, startMs: 300_000, runMs: 43_200_000 })
  })

  test('a document that says nothing gets the defaults of the design', () => {
    expect(resolveText(`${head}roles: { a: { command: [x] } }`)).toEqual({
      apiVersion: 'troupe/v1',
      name: 'x',
      backend: 'join',
      env: {},
      stopWhen: null,
      deadlines: { queueMs: null, startMs: 300_000, runMs: null },
      roles: [
        {
          name: 'a',
          kind: 'task',
          replicas: 1,
          minReplicas: 1,
          nproc: 0,
          resources: { cpus: 0, gpus: 0, memoryBytes: 0, ports: 0, share: false },
          dependsOn: [],
          env: {},
          command: ['x'],
          shell: false,
          prefix: [],
          pythonPath: [],
          setup: null,
          cwd: null,
          nodelist: [],
          exclude: [],
          network: null,
          ready: null,
          preStop: null,
          restart: {
            policy: 'never',
            max: 3,
            windowMs: 3_600_000,
            backoffMs: [1000, 30_000],
            scope: 'worker',
            not: [],
          },
          stop: { signal: 'SIGTERM', graceMs: 30_000, order: 'reverse' },
          failFast: true,
          fenceAfterMs: null,
        },
      ],
    })
  })

  test('keys of the launch are defaults for its roles, and a role wins', () => {
    const launch = resolveText(
      `${head}setup: s\ncwd: /c\nprefix: [p]\npythonPath: [lib]\nnetwork: { cidr: 10.0.0.0/8 }\nexclude: [n1]\nroles:\n  a: { command: [x] }\n  b: { command: [x], setup: t, cwd: /d, prefix: [], pythonPath: [], network: { interface: lo }, exclude: [] }\n`,
    )
    expect(launch.roles[0]).toMatchObject({
      setup: 's',
      cwd: '/c',
      prefix: ['p'],
      pythonPath: ['lib'],
      network: { cidr: '10.0.0.0/8' },
      exclude: ['n1'],
    })
    expect(launch.roles[1]).toMatchObject({
      setup: 't',
      cwd: '/d',
      prefix: [],
      pythonPath: [],
      network: { interface: 'lo' },
      exclude: [],
    })
  })

  test('one resources entry serves all workers, or there is one for each [A-03]', () => {
    const cpusOf = (lines: string): number[] => {
      const [role] = resolveText(task(lines)).roles
      return Array.from({ length: role!.replicas }, (_, index) => resourcesOf(role!, index).cpus)
    }
    expect(cpusOf('replicas: 3\nresources: { cpus: 2 }')).toEqual([2, 2, 2])
    expect(cpusOf('replicas: 3\nresources: [{ cpus: 2 }]')).toEqual([2, 2, 2])
    expect(cpusOf('replicas: 2\nresources: [{ cpus: 1 }, { cpus: 2 }]')).toEqual([1, 2])
  })

  test('many workers with the same resources and many roles with the same environment: one copy of each', () => {
    const role = { replicas: 10_000, resources: [{ cpus: 2 }], command: ['true'] }
    const env = { BIG: 'x'.repeat(100_000) }
    const launch = resolveLaunch(launchOf({ a: role, b: role }, { env }))
    expect(JSON.stringify(launch).length).toBeLessThan(105_000)
    expect(launch.roles.map((one) => one.env)).toEqual([{}, {}])
    expect(launch.env).toEqual(env)
  })

  test('resources are neither one entry nor one for each worker: the error names both counts [A-03 A-36]', () => {
    const fault = refusal(task('replicas: 3\nresources: [{ cpus: 1 }, { cpus: 2 }]'))
    expect(fault.message).toBe(
      'resources has 2 entries for 3 workers; give 1 or 3 at roles.a.resources (line 7)',
    )
  })

  test('environment values with =, commas, quotes, newlines and UTF-8 survive as they are [FC-14 +A15]', () => {
    const env = {
      A: 'k=v=w',
      B: 'a,b,c',
      C: '"it\'s"',
      D: 'one\ntwo',
      E: 'größe – 大',
      F: '$HOME `id` $(id)',
      G: '',
    }
    const document = {
      apiVersion: 'troupe/v1',
      name: 'x',
      roles: { a: { command: ['x', 'an arg with spaces', '--e=a,b'], env } },
    }
    expect(resolveLaunch(document).roles[0]).toMatchObject({
      env,
      command: ['x', 'an arg with spaces', '--e=a,b'],
    })
    const { document: read } = parseLaunchText(JSON.stringify(document))
    expect(resolveLaunch(read)).toEqual(resolveLaunch(document))
  })

  test('a number where text is wanted stays as it was written', () => {
    expect(resolveText(task('env: { V: 1.10, O: 0o17, T: true, N: 1e-3, Q: "007" }')).roles[0]!.env).toEqual({
      V: '1.10',
      O: '0o17',
      T: 'true',
      N: '1e-3',
      Q: '007',
    })
    expect(
      resolveLaunch({
        apiVersion: 'troupe/v1',
        name: 'x',
        roles: { a: { command: ['x', 8000, false], env: { A: 3 } } },
      }).roles[0],
    ).toMatchObject({ command: ['x', '8000', 'false'], env: { A: '3' } })
  })

  test('a line of shell is one string', () => {
    expect(resolveText(`${head}roles: { a: { command: "a | b", shell: true } }`).roles[0]).toMatchObject({
      command: ['a | b'],
      shell: true,
    })
  })

  test.each([
    ['tcp: { port: 1 }', { kind: 'tcp', port: 1 }],
    ['exec: [check, 1]', { kind: 'exec', command: ['check', '1'] }],
    ['exec: { command: [check] }', { kind: 'exec', command: ['check'] }],
    ['log: "listening on .*"', { kind: 'log', pattern: 'listening on .*' }],
    ['http: { port: 0 }', { kind: 'http', port: 0, path: '/' }],
  ])('a probe by %s', (probe, expected) => {
    expect(resolveText(task(`resources: { ports: 2 }\nready: { ${probe} }`)).roles[0]!.ready).toEqual({
      ...expected,
      timeoutMs: 300_000,
      intervalMs: 1000,
      attemptTimeoutMs: 2000,
      failures: 3,
    })
  })

  test('a short restart word has the long form’s defaults; a torchrun role restarts as one', () => {
    expect(resolveText(task('restart: on-failure')).roles[0]!.restart).toEqual({
      policy: 'on-failure',
      max: 3,
      windowMs: 3_600_000,
      backoffMs: [1000, 30_000],
      scope: 'worker',
      not: [],
    })
    expect(
      resolveText(task('restart: { policy: on-failure }\nkind: torchrun\nshape: 2x2')).roles[0]!.restart
        .scope,
    ).toBe('role')
  })
})

describe('what is refused says what, where and what was meant [A-18]', () => {
  const cases: [string, string, string][] = [
    [
      'an unknown key',
      task('commnad: [y]'),
      "unknown key 'commnad' at roles.a (line 6); did you mean 'command'?",
    ],
    [
      'an unknown key inside',
      task('resources:\n  gpu: 1'),
      "unknown key 'gpu' at roles.a.resources (line 7); did you mean 'gpus'?",
    ],
    [
      'an unknown key at the top',
      `rolse: {}\n${task('cwd: /x')}`,
      "unknown key 'rolse' at (line 1); did you mean 'roles'?".replace(' at (', ' ('),
    ],
    [
      'a wrong unit',
      task('stop: { grace: 10 minutes }'),
      "'10 minutes' is no duration; write 250ms, 90s, 1h30m, 4:00:00 or 2d at roles.a.stop.grace (line 6)",
    ],
    [
      'a bare number',
      task('stop: { grace: 30 }'),
      "'30' is no duration; write 250ms, 90s, 1h30m, 4:00:00 or 2d at roles.a.stop.grace (line 6)",
    ],
    [
      'a wrong size',
      task('resources: { memory: 16G }'),
      "'16G' is no size; write 16GB, 16GiB or 500MB at roles.a.resources.memory (line 6)",
    ],
    [
      'a wrong shape',
      task('kind: torchrun\nshape: 2*8'),
      "'2*8' is no shape; write 2x8 (nodes x processes per node) or 1:2x8 (elastic) at roles.a.shape (line 7)",
    ],
    [
      'another version',
      'apiVersion: troupe/v2\nname: x\njobs: []\n',
      'apiVersion is "troupe/v2"; this is troupe/v1 at apiVersion (line 1)',
    ],
    [
      'no version',
      'name: x\nroles: { a: { command: [x] } }',
      'apiVersion is missing; this is troupe/v1 at apiVersion',
    ],
    [
      'an unknown dependency',
      `${head}roles:\n  trainer: { command: [x] }\n  b: { command: [x], dependsOn: { trianer: ready } }`,
      "no role 'trianer' at roles.b.dependsOn (line 5); did you mean 'trainer'?",
    ],
    [
      'an unknown stopWhen',
      task('replicas: 1', 'stopWhen: b.done\n'),
      "no role 'b' at stopWhen (line 7); did you mean 'a'?",
    ],
    [
      'a stopWhen of another form',
      task('replicas: 1', 'stopWhen: a.failed\n'),
      "'a.failed' is no condition; write ROLE.done at stopWhen (line 7)",
    ],
    [
      'a template of an unknown role',
      task('env: { A: "${{ roles.aa.addr }}" }'),
      "no role 'aa' at roles.a.env.A (line 6); did you mean 'a'?",
    ],
    [
      'an unknown template',
      task('env: { A: "${{ prot.0 }}" }'),
      "unknown template '${{ prot.0 }}'; did you mean '${{ port.0 }}'? at roles.a.env.A (line 6)",
    ],
    [
      'a template without end',
      task('env: { A: "${{ port.0" }'),
      "'${{' is never closed by '}}' (write '$${{' for the characters themselves) at roles.a.env.A (line 6)",
    ],
    [
      'a wrong word',
      task('kind: servcie'),
      "'servcie' is none of task, service, torchrun at roles.a.kind (line 6); did you mean 'service'?",
    ],
    [
      'a wrong restart word',
      task('restart: on-fail'),
      "'on-fail' is none of never, on-failure, always at roles.a.restart (line 6)",
    ],
    [
      'a command that is a string',
      `${head}roles:\n  a:\n    command: python train.py\n`,
      "the command is a list, such as [python, train.py]; for a line of shell add 'shell: true' at roles.a.command (line 5)",
    ],
    [
      'no command',
      `${head}roles:\n  a:\n    kind: task\n`,
      "the key 'command' is missing at roles.a (line 4)",
    ],
    [
      'an empty command',
      `${head}roles: { a: { command: [] } }`,
      'needs at least the program at roles.a.command (line 3)',
    ],
    [
      'shell with a list',
      task('shell: true').replace('[x]', '[x, y]'),
      "with 'shell: true' the command is one string, not a list of 2 at roles.a.command (line 5)",
    ],
    [
      'a role that is no token',
      `${head}roles:\n  a/b: { command: [x] }`,
      "'a/b' is no name: names match [A-Za-z0-9][A-Za-z0-9_-]{0,39} at roles (line 4)",
    ],
    [
      'a launch name that is too long',
      `apiVersion: troupe/v1\nname: ${'x'.repeat(28)}\nroles: { a: { command: [x] } }`,
      `'${'x'.repeat(28)}' is too long: a launch's name has at most 27 characters at name (line 2)`,
    ],
    [
      'replicas against the shape',
      task('kind: torchrun\nshape: 2x2\nreplicas: 3'),
      'replicas is 3, but the shape has 2 nodes at roles.a.replicas (line 8)',
    ],
    [
      'torchrun without a shape',
      task('kind: torchrun'),
      "kind torchrun needs a shape, such as '2x8' (nodes x processes per node) at roles.a (line 6)",
    ],
    [
      'a shape on a task',
      task('shape: 2x2'),
      'a shape is for kind torchrun; this is task: use replicas at roles.a.shape (line 6)',
    ],
    [
      'fewer GPUs than processes',
      task('kind: torchrun\nshape: 2x8\nresources: { gpus: 4 }'),
      '8 processes per node would share 4 GPUs; lower the shape, or say share: true at roles.a.resources (line 8)',
    ],
    [
      'a port template beyond the ports',
      task('resources: { ports: 2 }\nenv: { P: "${{ port.3 }}" }'),
      "'${{ port.3 }}': port 3 is beyond the leased ports: resources.ports is 2, so 0 to 1 at roles.a.env.P (line 7)",
    ],
    [
      'a probe port beyond the ports',
      task('resources: { ports: 1 }\nready: { http: { port: 8000 } }'),
      'port index 8000 is beyond the leased ports: resources.ports is 1, so 0 to 0 at roles.a.ready.http.port (line 7)',
    ],
    [
      'two probes at once',
      task('ready: { log: x, exec: [y] }'),
      'a probe is one of http, tcp, exec, log; given are exec, log at roles.a.ready (line 6)',
    ],
    ['a bad pattern', task('ready: { log: "(a" }'), "'(a' is no regular expression (RE2)"],
    [
      'an address that is not waited for',
      `${head}roles:\n  a: { command: [x], resources: { ports: 1 } }\n  b: { command: ["\${{ roles.a.addr }}"] }`,
      "role 'b' asks for the address of 'a' without waiting for it; add dependsOn: { a: { condition: ready } } at roles.b.command[0] (line 5)",
    ],
    [
      'the address of a role without ports',
      task('env: { A: "${{ roles.a.addr }}" }'),
      "role 'a' has no address: it leases no port; give it resources: { ports: 1 } at roles.a.env.A (line 6)",
    ],
    [
      'a service that should be done',
      `${head}roles:\n  s: { kind: service, command: [x] }\n  b: { command: [x], dependsOn: { s: done } }`,
      "'s' is a service, which is never done: wait for started or ready at roles.b.dependsOn.s (line 5)",
    ],
    [
      'a relative directory',
      task('cwd: here'),
      "cwd 'here' is not absolute (the command line makes it so; on the bus it must be) at roles.a.cwd (line 6)",
    ],
    [
      'an environment value that is null',
      task('env: { A: }'),
      'null is no text or number or true or false at roles.a.env.A (line 6)',
    ],
    [
      'an environment name with =',
      task('env: { "A=B": c }'),
      "'A=B' is no name of an environment variable at roles.a.env (line 6)",
    ],
    [
      'a variable of ours',
      task('env: { TROUPE_FORK_ID: c }'),
      'TROUPE_FORK_ID is set by Troupe for every worker at roles.a.env.TROUPE_FORK_ID (line 6)',
    ],
    [
      'an unknown signal',
      task('stop: { signal: TREM }'),
      "'TREM' is no signal; write TERM, INT, USR1… at roles.a.stop.signal (line 6)",
    ],
    [
      'a node both wanted and excluded',
      task('nodelist: [n0]\nexclude: [n0]'),
      "node 'n0' is in nodelist and in exclude at roles.a.exclude (line 7)",
    ],
    ['no roles', `${head}roles: {}`, 'a launch needs at least one role at roles (line 3)'],
    ['replicas of text', task('replicas: "2"'), "'2' is no number at roles.a.replicas (line 6)"],
    ['no replicas', task('replicas: 0'), '0 is too small; at least 1 at roles.a.replicas (line 6)'],
    [
      'half a CIDR',
      task('network: { cidr: 10.0.0.0 }'),
      "'10.0.0.0' is no CIDR block; write 10.0.0.0/8 or fd00::/8 at roles.a.network.cidr (line 6)",
    ],
    [
      'backoff the wrong way round',
      task('restart: { policy: always, backoff: [30s, 1s] }'),
      'the first wait (30000 ms) is longer than the longest (1000 ms) at roles.a.restart.backoff (line 6)',
    ],
  ]
  test.each(cases)('%s [A-36]', (_, text, message) => {
    const fault = refusal(text)
    expect(fault.code).toBe('SPEC_INVALID')
    expect(fault.exitCode).toBe(2)
    expect(fault.message).toContain(message)
    expect(issueText(issuesOf(fault)[0]!)).toBe(fault.message)
  })

  test('roles wait for each other: the cycle is printed', () => {
    const fault = refusal(
      `${head}roles:\n  a: { command: [x], dependsOn: { b: ready } }\n  b: { command: [x], dependsOn: { c: started } }\n  c: { command: [x], dependsOn: { b: done } }\n`,
    )
    expect(fault.message).toBe('roles wait for each other: b -> c -> b at roles.b.dependsOn (line 5)')
    expect(
      refusal(
        `${head}roles:\n  a: { command: [x], dependsOn: { b: ready } }\n  b: { command: [x], dependsOn: { a: ready } }\n`,
      ).message,
    ).toContain('a -> b -> a')
    expect(refusal(task('dependsOn: { a: ready }')).message).toContain('a -> a')
  })

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
      '{"apiVersion":"troupe/v1","name":"x","roles":{"constructor":{"command":["x"],"dependsOn":{"toString":"ready"}},"toString":{"command":["x"],"env":{"constructor":"1","valueOf":"2"}}}}',
    ) as unknown
    const launch = resolveLaunch(document)
    expect(launch.roles.map(({ name }) => name)).toEqual(['constructor', 'toString'])
    expect(launch.roles[1]!.env).toEqual({ constructor: '1', valueOf: '2' })
    for (const at of ['', 'roles', 'roles.a', 'roles.a.env']) {
      const spoiled = JSON.parse(
        `{"apiVersion":"troupe/v1","name":"x"${at === '' ? ',"__proto__":{"polluted":1}' : ''},"roles":{${at === 'roles' ? '"__proto__":{"command":["x"]},' : ''}"a":{"command":["x"]${at === 'roles.a' ? ',"__proto__":{"shell":true}' : ''},"env":{${at === 'roles.a.env' ? '"__proto__":"x"' : ''}}}}}`,
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
