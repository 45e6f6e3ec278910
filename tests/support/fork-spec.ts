/** A fork spec, leases and bindings to change from: a task that reserves nothing. */
import type { Prepared } from '../../src/protocol/host.ts'
import type { Bindings, ForkSpec } from '../../src/protocol/launch/resolved.ts'

export function forkSpec(changes: Partial<ForkSpec> = {}): ForkSpec {
  return {
    forkId: 'run-1.trainer.0.1',
    run: 'run-1',
    role: 'trainer',
    index: 0,
    attempt: 1,
    user: 'me',
    kind: 'task',
    nproc: 0,
    resources: { cpus: 0, gpus: 0, memoryBytes: 0, ports: 0, share: false },
    env: {},
    command: ['true'],
    shell: false,
    prefix: [],
    pythonPath: [],
    setup: null,
    cwd: '/work',
    network: null,
    ready: null,
    preStop: null,
    stop: { signal: 'SIGTERM', graceMs: 1000, order: 'reverse' },
    fenceAfterMs: null,
    torchrun: null,
    ...changes,
  }
}

export function preparedFork(changes: Partial<Prepared> = {}): Prepared {
  return { ports: [], rendezvousPort: null, gpus: [], cores: [], host: '10.0.0.7', preparedAt: 0, ...changes }
}

export function bindingsOf(changes: Partial<Bindings> = {}): Bindings {
  return { roles: {}, rendezvous: null, ...changes }
}
