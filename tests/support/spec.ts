/**
 * A ForkSpec for tests of hosts and agents: a plain task, with what the test cares about on top.
 */
import { forkIdOf } from '../../src/protocol/names.ts'
import type { ForkSpec } from '../../src/protocol/launch/resolved.ts'

export function forkSpec(command: string[], more: Partial<ForkSpec> & { n?: number } = {}): ForkSpec {
  const { n = 0, ...overrides } = more
  const [run, role, index, attempt] = ['test-run', 'role', overrides.index ?? n, overrides.attempt ?? 1]
  return {
    forkId: forkIdOf(run, role, index, attempt),
    run,
    role,
    index,
    attempt,
    user: 'tester',
    kind: 'task',
    nproc: 0,
    resources: { cpus: 0, gpus: 0, memoryBytes: 0, ports: 0, share: false },
    env: {},
    command,
    shell: false,
    prefix: [],
    pythonPath: [],
    setup: null,
    cwd: '/',
    network: null,
    ready: null,
    preStop: null,
    stop: { signal: 'SIGTERM', graceMs: 1000, order: 'reverse' },
    fenceAfterMs: null,
    torchrun: null,
    ...overrides,
  }
}

export const NO_BINDINGS = { roles: {}, rendezvous: null }
