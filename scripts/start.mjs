// `npm start`: all set-up, then the main job: a bus, a coordinator and two node agents here, and
// examples/two-node-ddp.yaml launched on the bus.
// Built on the command line (`troupe up`, `troupe down`) and the library (`import { connect } from
// 'troupe'`), as a user would.
import { parseArgs } from 'node:util'
import { setUp } from './setup/setup.mjs'
import { endSteps, say, SetupError } from './setup/say.mjs'

const USAGE = `npm start [-- --epochs N] [--seed N] [--keep]

  --epochs N  how long to train (default 12; 0 does not train, and fails for it)
  --seed N    another start of the network (default 1)
  --keep      leave the fleet up when the job has ended
`

function readArguments() {
  try {
    const { values } = parseArgs({
      options: {
        epochs: { type: 'string', default: '12' },
        seed: { type: 'string', default: '1' },
        keep: { type: 'boolean', default: false },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    for (const name of ['epochs', 'seed'])
      if (!/^\d{1,6}$/.test(values[name]))
        throw new Error(`--${name} takes a whole number, not '${values[name]}'`)
    return values
  } catch (error) {
    process.stderr.write(`${error.message.split('. To specify')[0]}\n\n${USAGE}`)
    process.exit(2)
  }
}

const values = readArguments()
if (values.help) {
  process.stdout.write(USAGE)
  process.exit(0)
}

let interrupt = async () => {
  await endSteps()
  say('interrupted during set-up: nothing was started, nothing is left running')
  process.exit(130)
}
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => interrupt(signal))

try {
  const found = await setUp({ forTests: false })
  const { mainJob } = await import('./start/main-job.mjs')
  // exit, not exitCode: after an interrupt a connection may still look for its bus
  const code = await mainJob({
    epochs: values.epochs,
    seed: values.seed,
    keep: values.keep,
    found,
    onInterrupt: (handler) => (interrupt = handler),
  })
  process.exit(code)
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  say(error.message)
  process.exitCode = 1
}
