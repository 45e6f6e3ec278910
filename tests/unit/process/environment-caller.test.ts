/** What a worker's environment has of the shell that launched, and not of another job. */
import { expect, test } from 'vitest'
import { buildEnvironment, type EnvironmentInput } from '../../../src/process/environment.ts'
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

test('of the shell that launched: over the agent’s, under the spec’s; its PATH comes without the agent’s virtual environment', () => {
  const agentEnv = {
    PATH: '/bin',
    VIRTUAL_ENV: '/agent/venv',
    CONDA_PREFIX: '/agent/conda',
    A: 'agent',
    B: 'agent',
  }
  const callerEnv = {
    PATH: '/mine/bin:/bin',
    A: 'caller',
    C: 'caller ${{ port.0 }}',
    RANK: '3',
    TROUPE_HOME: '/h',
  }
  const environment = build({ agentEnv, spec: forkSpec({ callerEnv, env: { C: 'spec' } }) })
  expect(environment).toMatchObject({ PATH: '/mine/bin:/bin', A: 'caller', B: 'agent', C: 'spec' })
  for (const name of ['VIRTUAL_ENV', 'CONDA_PREFIX', 'RANK', 'TROUPE_HOME'])
    expect(environment).not.toHaveProperty(name)
  expect(build({ agentEnv, spec: forkSpec({ callerEnv }) })['C']).toBe('caller ${{ port.0 }}')
  expect(build({ agentEnv, spec: forkSpec({ callerEnv: { A: 'x' } }) })['VIRTUAL_ENV']).toBe('/agent/venv')
  expect(build({ agentEnv })).toMatchObject({ PATH: '/bin', VIRTUAL_ENV: '/agent/venv' })
})

test('leased GPUs and PYTHONPATH are not the caller’s to say', () => {
  const callerEnv = { CUDA_VISIBLE_DEVICES: '0,1', PYTHONPATH: '/theirs' }
  const environment = build({ spec: forkSpec({ callerEnv }), prepared: preparedFork({ gpus: ['5'] }) })
  expect(environment).toMatchObject({ CUDA_VISIBLE_DEVICES: '5', PYTHONPATH: '/work:/theirs' })
})

test('venv and pathPrepend stand before whatever PATH there is, relative ones from cwd', () => {
  const spec = forkSpec({ venv: '.venv', pathPrepend: ['tools', '/opt/x'] })
  expect(build({ spec })).toMatchObject({
    PATH: '/work/tools:/opt/x:/work/.venv/bin:/bin',
    VIRTUAL_ENV: '/work/.venv',
  })
  expect(build({ spec: { ...spec, env: { PATH: '/p' }, callerEnv: { PATH: '/c' } } })['PATH']).toMatch(
    /bin:\/p$/,
  )
  expect(build({ spec: forkSpec({ pathPrepend: ['/a'], callerEnv: { PATH: '/c' } }) })['PATH']).toBe('/a:/c')
  expect(build({ spec: forkSpec({ venv: '/v' }), agentEnv: { PYTHONHOME: '/p' } })).not.toHaveProperty(
    'PYTHONHOME',
  )
})

test.each([
  ...['RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'GROUP_RANK', 'GROUP_WORLD_SIZE', 'ROLE_RANK'],
  ...[
    'ROLE_WORLD_SIZE',
    'ROLE_NAME',
    'NODE_RANK',
    'MASTER_ADDR',
    'MASTER_PORT',
    'TORCHELASTIC_RUN_ID',
    'PET_NNODES',
  ],
  ...[
    'SLURM_PROCID',
    'SLURM_LOCALID',
    'SLURM_NODEID',
    'SLURM_NTASKS',
    'SLURM_NTASKS_PER_NODE',
    'SLURM_NPROCS',
  ],
  ...[
    'SLURM_STEP_ID',
    'SLURM_STEPID',
    'SLURM_STEP_GPUS',
    'SLURM_TASK_PID',
    'SLURM_GTIDS',
    'SLURM_SRUN_COMM_PORT',
  ],
  ...['SLURM_CPU_BIND', 'SLURM_MPI_TYPE', 'PMI_RANK', 'PMI_FD', 'PMI2_X', 'PMIX_RANK', 'PMIX_SERVER_URI2'],
  ...['OMPI_COMM_WORLD_RANK', 'OMPI_UNIVERSE_SIZE', 'OMPI_MCA_ess', 'OMPI_MCA_orte_hnp_uri', 'PRTE_LAUNCHED'],
  ...[
    'MPI_LOCALRANKID',
    'MPI_LOCALNRANKS',
    'MV2_COMM_WORLD_RANK',
    'HYDI_CONTROL_FD',
    'PBS_TASKNUM',
    'PBS_NODENUM',
  ],
  ...['PBS_VNODENUM', 'LSF_PM_TASKID', 'JSM_NAMESPACE_RANK', 'PALS_RANKID', 'ALPS_APP_PE', 'FLUX_TASK_RANK'],
  ...['HOROVOD_RANK', 'HOROVOD_LOCAL_SIZE', 'CROSS_RANK'],
  ...['SLURM_ARRAY_TASK_ID', 'SGE_TASK_ID', 'PBS_ARRAY_INDEX', 'PBS_ARRAYID', 'MOAB_JOBARRAYINDEX'],
  ...['LSB_JOBINDEX', 'OAR_ARRAY_INDEX', 'AWS_BATCH_JOB_ARRAY_INDEX', 'AWS_BATCH_JOB_NODE_INDEX'],
  ...['JOB_COMPLETION_INDEX', 'BATCH_TASK_INDEX', 'CLOUD_RUN_TASK_INDEX', 'NOMAD_ALLOC_INDEX'],
  ...[
    'PARALLEL_SEQ',
    'PARALLEL_JOBSLOT',
    '_CONDOR_PROCNO',
    '_CONDOR_NPROCS',
    'AZ_BATCH_TASK_ID',
    'TF_CONFIG',
  ],
])('%s is the agent’s place in another job: no worker has it, unless its spec says so', (name) => {
  const agentEnv = { PATH: '/bin', [name]: 'outer' }
  for (const torchrun of [null, gang])
    expect(
      build({ agentEnv, spec: forkSpec({ torchrun, callerEnv: { [name]: 'callers' } }) }),
    ).not.toHaveProperty(name)
  expect(build({ agentEnv, spec: forkSpec({ env: { [name]: 'mine' } }) })[name]).toBe('mine')
})

test.each([
  ...[
    'SLURM_JOB_ID',
    'SLURM_JOB_NODELIST',
    'SLURM_TASKS_PER_NODE',
    'SLURM_TMPDIR',
    'PBS_NODEFILE',
    'LSB_HOSTS',
  ],
  ...[
    'OMPI_MCA_btl',
    'OMPI_ALLOW_RUN_AS_ROOT',
    'NCCL_DEBUG',
    'RANKING',
    'MY_RANK',
    'I_MPI_FABRICS',
    'HOROVOD_CYCLE_TIME',
  ],
  ...['TORCH_ELASTIC_SHUTDOWN', 'PETSC_DIR', 'SLURM_ARRAY_JOB_ID', 'SLURM_ARRAY_TASK_COUNT', 'SGE_TASK_LAST'],
  ...['LSB_JOBINDEX_STEP', 'PBS_ARRAY_ID', 'AWS_BATCH_JOB_MAIN_NODE_INDEX', '_CONDOR_SLOT', 'OAR_ARRAY_ID'],
])('%s describes an allocation or is a setting: it stays', (name) => {
  expect(build({ agentEnv: { [name]: 'x' } })[name]).toBe('x')
})
