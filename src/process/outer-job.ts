/**
 * The variables by which a launcher or a scheduler tells a process its place in a job: its rank, its task,
 * who its peers are. Where an agent (or a caller's shell) is such a process, they describe that one. A worker
 * that got them would take another's place: torch joins a group by RANK and MASTER_ADDR, MPI connects to the
 * PMI of the outer step. What describes the allocation or the array as a whole (SLURM_JOB_ID, PBS_NODEFILE,
 * LSB_HOSTS, SLURM_ARRAY_TASK_COUNT…) stays; who wants one of these says so in `env`. Pure.
 */
interface OuterJob {
  /** as people would write it, for the reference */
  names: string
  match: RegExp
  why: string
}

export const OUTER_JOB: readonly OuterJob[] = [
  {
    names:
      'RANK, LOCAL_RANK, GROUP_RANK, ROLE_RANK, NODE_RANK, WORLD_SIZE (and LOCAL_, GROUP_, ROLE_), ROLE_NAME',
    match:
      /^(((LOCAL|GROUP|ROLE|NODE|CROSS)_)?RANK|((LOCAL|GROUP|ROLE)_)?WORLD_SIZE|(LOCAL|CROSS)_SIZE|ROLE_NAME)$/,
    why: 'a rank of an outer torchrun, DeepSpeed or Horovod: torch would join a group as that rank',
  },
  {
    names: 'MASTER_ADDR, MASTER_PORT',
    match: /^MASTER_(ADDR|PORT)$/,
    why: 'the rendezvous of another job: torch would wait for it',
  },
  {
    names: 'TORCHELASTIC_*, PET_*',
    match: /^(TORCHELASTIC|PET)_/,
    why: 'an outer torchrun: its run id, restarts and error file, and the options of ours',
  },
  {
    names: 'HOROVOD_RANK, _SIZE, _LOCAL_*, _CROSS_*, _HOSTNAME, _RENDEZVOUS_*, _GLOO_RENDEZVOUS_*',
    match: /^HOROVOD_(RANK|SIZE|(LOCAL|CROSS)_(RANK|SIZE)|HOSTNAME|(GLOO_)?RENDEZVOUS_.*)$/,
    why: 'a rank of an outer horovodrun',
  },
  {
    names:
      'SLURM_PROCID, SLURM_LOCALID, SLURM_NODEID, SLURM_NTASKS*, SLURM_NPROCS, SLURM_TASK_PID, SLURM_GTIDS',
    match: /^SLURM_(PROCID|LOCALID|NODEID|NTASKS.*|NPROCS|TASK_PID|GTIDS)$/,
    why: 'the task of an outer srun: Lightning, accelerate and MPI take rank and size from them',
  },
  {
    names:
      'SLURM_STEP*, SLURM_SRUN_*, SLURM_LAUNCH_NODE_IPADDR, SLURM_CPU_BIND*, SLURM_MEM_BIND*, ' +
      'SLURM_DISTRIBUTION, SLURM_MPI_TYPE, SLURM_PMI*',
    match: /^SLURM_(STEP.*|SRUN_.*|LAUNCH_NODE_IPADDR|(CPU|MEM)_BIND.*|DISTRIBUTION|MPI_TYPE|PMI.*)$/,
    why: 'the step of an outer srun, whose binding and ports are not the worker’s',
  },
  {
    names: 'PMI_*, PMI2_*, PMIX_*, PRTE_* but PRTE_MCA_*',
    match: /^(PMI2?|PMIX|PRTE(?!_MCA|_ALLOW))_/,
    why: 'the process manager of an outer MPI job: MPI_Init would connect to it',
  },
  {
    names: 'OMPI_* but OMPI_MCA_* and OMPI_ALLOW_*; OMPI_MCA_ess*, _orte*, _prte*, _initial*, _num_procs',
    match: /^OMPI_(?!MCA_|ALLOW_)|^OMPI_MCA_(ess|orte|prte|pmix|initial|num_procs|shmem_RUNTIME)/,
    why: 'a rank of an outer Open MPI; settings of the library stay',
  },
  {
    names: 'MPI_LOCALRANKID, MPI_LOCALNRANKS, MV2_COMM_WORLD_*, HYDRA_*, HYDI_*, I_MPI_HYDRA_*',
    match: /^(MPI_LOCAL(RANKID|NRANKS)|MV2_COMM_WORLD_.*|HYDRA_.*|HYDI_.*|I_MPI_HYDRA_.*)$/,
    why: 'a rank of an outer MPICH, Intel MPI or MVAPICH',
  },
  {
    names: 'PBS_TASKNUM, PBS_NODENUM, PBS_VNODENUM, LSF_PM_*, JSM_*, PALS_*, ALPS_APP_PE, FLUX_TASK_*',
    match: /^(PBS_(TASKNUM|NODENUM|VNODENUM)|LSF_PM_.*|JSM_.*|PALS_.*|ALPS_APP_PE|FLUX_TASK_.*)$/,
    why: 'the task of an outer PBS, LSF (jsrun), Cray PALS or ALPS, or Flux',
  },
  {
    names:
      'SLURM_ARRAY_TASK_ID, SGE_TASK_ID, PBS_ARRAY_INDEX, PBS_ARRAYID, MOAB_JOBARRAYINDEX, LSB_JOBINDEX, ' +
      'OAR_ARRAY_INDEX, AWS_BATCH_JOB_ARRAY_INDEX, JOB_COMPLETION_INDEX, BATCH_TASK_INDEX, ' +
      'CLOUD_RUN_TASK_INDEX, NOMAD_ALLOC_INDEX, PARALLEL_SEQ, PARALLEL_JOBSLOT',
    match: new RegExp(
      '^(SLURM_ARRAY_TASK_ID|SGE_TASK_ID|PBS_ARRAY_INDEX|PBS_ARRAYID|MOAB_JOBARRAYINDEX|LSB_JOBINDEX|' +
        'OAR_ARRAY_INDEX|AWS_BATCH_JOB_ARRAY_INDEX|JOB_COMPLETION_INDEX|BATCH_TASK_INDEX|' +
        'CLOUD_RUN_TASK_INDEX|NOMAD_ALLOC_INDEX|PARALLEL_(SEQ|JOBSLOT))$',
    ),
    why:
      'the agent’s own task of an array: workers of one run on two such agents would see two; ' +
      '`--env NAME` passes on that of the shell',
  },
  {
    names: 'AWS_BATCH_JOB_NODE_INDEX, _CONDOR_PROCNO, _CONDOR_NPROCS, AZ_BATCH_TASK_ID, TF_CONFIG',
    match: /^(AWS_BATCH_JOB_NODE_INDEX|_CONDOR_(PROCNO|NPROCS)|AZ_BATCH_TASK_ID|TF_CONFIG)$/,
    why: 'the node of an outer job over several machines of AWS Batch, HTCondor, Azure Batch or TensorFlow',
  },
]

export function isOfOuterJob(name: string): boolean {
  return OUTER_JOB.some(({ match }) => match.test(name))
}
