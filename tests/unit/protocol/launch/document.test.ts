import { describe, expect, test } from 'vitest'
import { parseLaunchText, resolveLaunch } from '../../../../src/protocol/launch/document.ts'
import { Launch, resourcesOf } from '../../../../src/protocol/launch/resolved.ts'
import { head, launchOf, refusal, resolveText, task } from '../../../support/launch-text.ts'

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
      stop: { signal: 'SIGINT', graceMs: 14_400_000, to: 'root', order: 'parallel' },
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
          stop: { signal: 'SIGTERM', graceMs: 30_000, to: 'root', order: 'reverse' },
          failFast: true,
          fenceAfterMs: null,
        },
      ],
    })
  })

  test('keys of the launch are defaults for its roles, and a role wins', () => {
    const launch = resolveText(
      head +
        'setup: s\ncwd: /c\nprefix: [p]\npythonPath: [lib]\nnetwork: { cidr: 10.0.0.0/8 }\nexclude: [n1]\n' +
        'roles:\n  a: { command: [x] }\n  b: { command: [x], setup: t, cwd: /d, prefix: [], pythonPath: [], ' +
        'network: { interface: lo }, exclude: [] }\n',
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
