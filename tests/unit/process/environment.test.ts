import { expect, test } from 'vitest'
import { buildEnvironment, type EnvironmentInput } from '../../../src/process/environment.ts'
import { runProgram } from '../../../src/system/run.ts'
import { bindingsOf, forkSpec, preparedFork } from '../../support/fork-spec.ts'

function build(changes: Partial<EnvironmentInput> = {}): Record<string, string> {
  return buildEnvironment({
    spec: forkSpec(),
    prepared: preparedFork(),
    bindings: bindingsOf(),
    node: 'n0',
    agentEnv: { PATH: '/bin', HOME: '/home/me' },
    cacheDir: '/cache/n0',
    nodeCores: 16,
    workersOnNode: 4,
    ...changes,
  })
}
const gang = { nnodes: '2', nodeRank: 0, nproc: 4, hostsRendezvous: true }

test('the user’s spec wins over the agent’s environment, and that over leased cores, and those over the node’s share [A-30 +A15]', () => {
  const agentEnv = { OMP_NUM_THREADS: '7', PATH: '/bin' }
  const prepared = preparedFork({ cores: [0, 1, 2] })
  expect(
    build({ spec: forkSpec({ env: { OMP_NUM_THREADS: '9' } }), agentEnv, prepared })['OMP_NUM_THREADS'],
  ).toBe('9')
  expect(build({ agentEnv, prepared })['OMP_NUM_THREADS']).toBe('7')
  expect(build({ prepared })['OMP_NUM_THREADS']).toBe('3')
  expect(build()['OMP_NUM_THREADS']).toBe('4')
})

test('all five thread variables follow the cores, at least 1, shared among the ranks of a torchrun worker [A-30 A-27]', () => {
  const names = [
    'OMP_NUM_THREADS',
    'MKL_NUM_THREADS',
    'OPENBLAS_NUM_THREADS',
    'NUMEXPR_NUM_THREADS',
    'VECLIB_MAXIMUM_THREADS',
  ]
  for (const [changes, threads] of [
    [{ prepared: preparedFork({ cores: [4, 5, 6, 7, 8, 9, 10, 11] }) }, '8'],
    [
      { prepared: preparedFork({ cores: [4, 5, 6, 7, 8, 9, 10, 11] }), spec: forkSpec({ torchrun: gang }) },
      '2',
    ],
    [{ nodeCores: 2, workersOnNode: 64 }, '1'],
    [{ nodeCores: 2, workersOnNode: 0 }, '2'],
  ] as const) {
    const environment = build(changes)
    expect(names.map((name) => environment[name])).toEqual(Array(5).fill(threads))
  }
})

test('the defaults of the table are there, caches in the node’s own directory, and the agent or the user can say otherwise [A-30]', () => {
  expect(build()).toMatchObject({
    TOKENIZERS_PARALLELISM: 'true',
    PYTORCH_KERNEL_CACHE_PATH: '/cache/n0/pytorch-kernels',
    TRITON_CACHE_DIR: '/cache/n0/triton',
    VLLM_CACHE_ROOT: '/cache/n0/vllm',
    CUDA_DEVICE_MAX_CONNECTIONS: '1',
  })
  const told = build({
    agentEnv: { TRITON_CACHE_DIR: '/a', CUDA_DEVICE_MAX_CONNECTIONS: '8' },
    spec: forkSpec({ env: { TRITON_CACHE_DIR: '/b' } }),
  })
  expect(told).toMatchObject({ TRITON_CACHE_DIR: '/b', CUDA_DEVICE_MAX_CONNECTIONS: '8' })
})

test('values with =, commas, quotes, newlines and UTF-8 reach a real process unchanged [A-30 FC-14 +A15]', async () => {
  const env = {
    EQUALS: 'a=b=c,d',
    QUOTES: `it's "so" \`now\` $HOME \\`,
    LINES: 'one\ntwo\n',
    UNICODE: 'größe 数 🎭',
    EMPTY: '',
    SPACES: '  x  ',
  }
  const environment = build({
    spec: forkSpec({ env }),
    agentEnv: { PATH: process.env['PATH'], 'BASH_FUNC_module%%': '() { echo module; }' },
  })
  const { stdout } = await runProgram([process.execPath, '-e', 'console.log(JSON.stringify(process.env))'], {
    env: environment,
    timeoutMs: 20_000,
  })
  expect(JSON.parse(stdout)).toMatchObject({ ...env, 'BASH_FUNC_module%%': '() { echo module; }' })
})

test('a NUL, or a name that no environment can hold, is refused by name [A-30 FC-14]', () => {
  for (const [env, named] of [
    [{ BAD: 'a\0b' }, 'BAD'],
    [{ 'A=B': '1' }, "'A=B'"],
    [{ '': '1' }, "''"],
    [{ 'A\0': '1' }, "'A\\0'"],
  ] as const)
    expect(() => build({ spec: forkSpec({ env }) })).toThrow(
      expect.objectContaining({ code: 'WORKER_CONFIG', message: expect.stringContaining(named) }) as Error,
    )
})

test('PYTHONPATH is pythonPath, relative to cwd and cwd itself by default, in front of what is inherited [A-31]', () => {
  const agentEnv = { PYTHONPATH: '/agent/lib' }
  expect(build()['PYTHONPATH']).toBe('/work')
  expect(build({ agentEnv })['PYTHONPATH']).toBe('/work:/agent/lib')
  expect(build({ agentEnv, spec: forkSpec({ pythonPath: ['src', '/opt/lib'] }) })['PYTHONPATH']).toBe(
    '/work/src:/opt/lib:/agent/lib',
  )
  expect(build({ agentEnv: { HOME: '/home/me' }, spec: forkSpec({ cwd: null }) })['PYTHONPATH']).toBe(
    '/home/me',
  )
})

test('a PYTHONPATH in the user’s own env replaces the inherited one, behind an explicit pythonPath [A-31]', () => {
  const agentEnv = { PYTHONPATH: '/agent/lib' }
  expect(build({ agentEnv, spec: forkSpec({ env: { PYTHONPATH: '/mine' } }) })['PYTHONPATH']).toBe('/mine')
  expect(
    build({ agentEnv, spec: forkSpec({ env: { PYTHONPATH: '/mine' }, pythonPath: ['src'] }) })['PYTHONPATH'],
  ).toBe('/work/src:/mine')
})

test('a worker sees who and where it is, its ports, and the addresses of the roles that it may know [A-28 A-30]', () => {
  const environment = build({
    spec: forkSpec({
      index: 3,
      attempt: 2,
      forkId: 'run-1.trainer.3.2',
      env: { TROUPE_INDEX: '99', URL: 'http://${{ roles.reward-model.addr }}/${{ index }}/${{ port.1 }}' },
    }),
    prepared: preparedFork({ ports: [12_000, 12_001] }),
    bindings: bindingsOf({
      roles: {
        'reward-model': { addr: '[fd00::1]:9', addrs: ['[fd00::1]:9'] },
        silent: { addr: null, addrs: [] },
      },
    }),
  })
  expect(environment).toMatchObject({
    TROUPE_RUN: 'run-1',
    TROUPE_ROLE: 'trainer',
    TROUPE_INDEX: '3',
    TROUPE_ATTEMPT: '2',
    TROUPE_FORK_ID: 'run-1.trainer.3.2',
    TROUPE_NODE: 'n0',
    TROUPE_PORT_0: '12000',
    TROUPE_PORT_1: '12001',
    TROUPE_ADDR_REWARD_MODEL: '[fd00::1]:9',
    URL: 'http://[fd00::1]:9/3/12001',
  })
  expect(environment).not.toHaveProperty('TROUPE_ADDR_SILENT')
})

test('the agent’s credentials and settings do not reach a worker [A-30 A-41 K-11]', () => {
  const agentEnv = {
    PATH: '/bin',
    TROUPE_HOME: '/home/me/.troupe',
    TROUPE_CREDENTIALS: '/x',
    NATS_NKEY: 'x',
    MY_SEED: 'SUACSSL3UAHUDXKFSNVUZRF5UHPMWZ6BFDTJ7M6USDXIEDNPPQYYYCU3VY',
    TROUPE_PORT_5: '1',
    UNSET: undefined,
  }
  const environment = build({ agentEnv })
  for (const name of Object.keys(agentEnv).filter((n) => n !== 'PATH'))
    expect(environment, name).not.toHaveProperty(name)
  expect(environment['PATH']).toBe('/bin')
})

test('leased GPUs are what CUDA sees, none is leased means none seen, and only the user’s spec can say otherwise [A-19 A-30]', () => {
  const agentEnv = { CUDA_VISIBLE_DEVICES: '0,1,2,3' }
  expect(
    build({ agentEnv, prepared: preparedFork({ gpus: ['1', 'MIG-abc'] }) })['CUDA_VISIBLE_DEVICES'],
  ).toBe('1,MIG-abc')
  expect(build({ agentEnv })['CUDA_VISIBLE_DEVICES']).toBe('')
  expect(
    build({ agentEnv, spec: forkSpec({ env: { CUDA_VISIBLE_DEVICES: '3' } }) })['CUDA_VISIBLE_DEVICES'],
  ).toBe('3')
})

test('torchrun is told where to write the root cause, and an outer torchrun’s variables do not steer it [A-27]', () => {
  const agentEnv = { PET_NNODES: '9', TORCHELASTIC_RUN_ID: 'outer', PATH: '/bin' }
  const environment = build({
    agentEnv,
    spec: forkSpec({ torchrun: gang, env: { PET_TEE: '3' } }),
    errorFile: '/spool/error.json',
  })
  expect(environment).toMatchObject({ TORCHELASTIC_ERROR_FILE: '/spool/error.json', PET_TEE: '3' })
  expect(environment).not.toHaveProperty('PET_NNODES')
  expect(environment).not.toHaveProperty('TORCHELASTIC_RUN_ID')
  expect(build({ agentEnv, errorFile: '/spool/error.json' })).not.toHaveProperty('TORCHELASTIC_ERROR_FILE')
})

test.each([
  ['nothing', undefined, '70'],
  ['a longer time', '600', '600'],
  ['a shorter time, which would cut the grace', '5', '70'],
  ['no number, at which torch would stumble', 'soon', '70'],
])('torchrun waits for its ranks longer than the whole grace: the spec has %s', (_, own, seconds) => {
  const env: Record<string, string> = own === undefined ? {} : { TORCH_ELASTIC_SHUTDOWN_TIMEOUT: own }
  const stop = { signal: 'SIGTERM', graceMs: 59_001, order: 'reverse' } as const
  const agentEnv = { PATH: '/bin', TORCH_ELASTIC_SHUTDOWN_TIMEOUT: '1' }
  expect(build({ agentEnv, spec: forkSpec({ torchrun: gang, env, stop }) })).toMatchObject({
    TORCH_ELASTIC_SHUTDOWN_TIMEOUT: seconds,
  })
  expect(build({ spec: forkSpec({ stop }) })).not.toHaveProperty('TORCH_ELASTIC_SHUTDOWN_TIMEOUT')
})

test('Gloo and TensorPipe are told the interface of the node’s address; a role’s network wins over the node’s environment, for NCCL too [A-40 U-12]', () => {
  const prepared = preparedFork({ interface: 'ib0' })
  expect(build({ prepared })).toMatchObject({ GLOO_SOCKET_IFNAME: 'ib0', TP_SOCKET_IFNAME: 'ib0' })
  expect(build({ prepared })).not.toHaveProperty('NCCL_SOCKET_IFNAME')
  expect(build()).not.toHaveProperty('GLOO_SOCKET_IFNAME')
  const agentEnv = { PATH: '/bin', GLOO_SOCKET_IFNAME: 'eth0', NCCL_SOCKET_IFNAME: 'eth0' }
  expect(build({ prepared, agentEnv })).toMatchObject({ GLOO_SOCKET_IFNAME: 'eth0' })
  const network = { cidr: '10.0.0.0/8' }
  expect(build({ prepared, agentEnv, spec: forkSpec({ network }) })).toMatchObject({
    GLOO_SOCKET_IFNAME: 'ib0',
    NCCL_SOCKET_IFNAME: '=ib0',
  })
  const own = forkSpec({ network, env: { GLOO_SOCKET_IFNAME: 'eth7' } })
  expect(build({ prepared, agentEnv, spec: own })).toMatchObject({ GLOO_SOCKET_IFNAME: 'eth7' })
})
