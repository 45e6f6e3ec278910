// A Python with torch and scikit-learn: the one on PATH where `torchrun` works, else a virtual environment in
// the cache.
import { join } from 'node:path'
import { cached } from './cache.mjs'
import { quiet, say, SetupError, step } from './say.mjs'
import { needSpace } from './space.mjs'

const TORCH = 'torch>=2.6'
const OTHERS = ['scikit-learn>=1.3', 'numpy']
const CPU_INDEX = 'https://download.pytorch.org/whl/cpu'

async function imports(python, modules) {
  return (await quiet([python, '-c', `import ${modules}`])).code === 0
}

/**
 * @param {{ forTests: boolean }} options  tests also need nats-py, the plain client of another language
 * @returns path of a python whose directory also has torchrun
 */
export async function pythonWithTorch({ forTests }) {
  const given = process.env.TROUPE_PYTHON
  const modules = `torch, sklearn, torch.distributed.run${forTests ? ', nats' : ''}`
  if (given) {
    if (!(await imports(given, modules)))
      throw new SetupError(`TROUPE_PYTHON=${given} cannot import ${modules}`)
    return given
  }
  const torchrun = await quiet(['torchrun', '--help'])
  if (torchrun.code === 0 && (await imports('python3', modules))) {
    const which = await quiet(['python3', '-c', 'import sys; print(sys.executable)'])
    return which.stdout.trim()
  }
  const version = (
    await quiet(['python3', '-c', 'import sys; print("%d.%d" % sys.version_info[:2])'])
  ).stdout.trim()
  if (!version)
    throw new SetupError(
      'python3 is not on PATH: install Python 3.10 or later (Debian: apt-get install python3 python3-venv)',
    )
  const dir = await cached(`python/torch-${version}-v1`, async (target) => {
    await needSpace(target, 6.5e9, 'a Python environment with torch')
    await step('making a virtual environment', ['python3', '-m', 'venv', target])
    const python = join(target, 'bin/python')
    const pip = [
      python,
      '-m',
      'pip',
      'install',
      '--no-input',
      '--progress-bar',
      'off',
      '--disable-pip-version-check',
    ]
    const cpuOnly = await fetch(`${CPU_INDEX}/torch/`, {
      method: 'HEAD',
      signal: AbortSignal.timeout(2000),
    }).then(
      (answer) => answer.ok,
      () => false,
    )
    say(
      cpuOnly
        ? 'the CPU-only index of torch is reachable: about 0.8 GB'
        : 'the CPU-only index of torch is not reachable within 2 s: the ordinary build, up to 5.4 GB',
    )
    if (cpuOnly) await step('installing torch (CPU only)', [...pip, TORCH, '--index-url', CPU_INDEX])
    else await step('installing torch', [...pip, TORCH])
    await step('installing scikit-learn and nats-py', [...pip, ...OTHERS, 'nats-py>=2.9', 'nkeys'])
    if (!(await imports(python, 'torch, sklearn, nats, nkeys')))
      throw new SetupError(`torch is installed in ${target} but cannot be imported`)
  })
  return join(dir, 'bin/python')
}
