// The main job, as a user would do it: `troupe up`, launch through the library, watch, read the evaluator's
// log, `troupe down`.
import { spawn } from 'node:child_process'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { delimiter, dirname, isAbsolute, join } from 'node:path'
import { root } from '../setup/setup.mjs'
import { say } from '../setup/say.mjs'

const AIM = 95
const TROUPE = join(root, 'bin/troupe')

/**
 * @param {{ epochs: string, seed: string, keep: boolean, found: Record<string, string>, onInterrupt:
 * (handler: (signal: string) => void) => void }} job
 * @returns {Promise<number>} the exit code
 */
export async function mainJob({ epochs, seed, keep, found, onInterrupt }) {
  // a home of its own: it neither meets nor disturbs a fleet that the user has up; on a local disk
  const home = await mkdtemp(join(tmpdir(), 'troupe-start-'))
  const path = isAbsolute(found.TROUPE_PYTHON)
    ? `${dirname(found.TROUPE_PYTHON)}${delimiter}${process.env.PATH}`
    : process.env.PATH
  const env = { ...process.env, ...found, PATH: path, TROUPE_HOME: home }
  delete env.TROUPE_LOCAL

  const interrupted = Promise.withResolvers?.() ?? withResolvers()
  let ending = false
  const tearDown = async () => {
    ending = true
    await endUp()
    const code = await troupe(['down'], env)
    if (code === 0) await rm(home, { recursive: true, force: true })
    else say(`\`troupe down\` ended with ${code}; what it knows is in ${home}`)
    return code
  }
  onInterrupt((signal) => {
    if (ending) return say('already ending: waiting for the proof that nothing is left')
    say(`\n${signal}: ending the run and the fleet …`)
    interrupted.resolve('interrupted')
  })

  try {
    const job = run({ epochs, seed, env, home })
    // after an interrupt it fails by what we end under it, and nobody asks
    job.catch(() => {})
    const outcome = await Promise.race([interrupted.promise, job])
    if (outcome === 'interrupted') {
      const code = await tearDown()
      say(code === 0 ? 'nothing is left running' : 'something may be left: see above')
      return 130
    }
    const prefix = `TROUPE_HOME=${home} ${TROUPE}`
    if (keep)
      say(
        [
          '\nthe fleet stays up (--keep). Next:',
          ...['status', 'logs', 'explain'].map((verb) => `${verb} ${outcome.run}`),
          'run -- hostname',
          'down',
        ].join(`\n  ${prefix} `),
      )
    else {
      const code = await tearDown()
      say(
        code === 0
          ? [
              '\nnothing is left running. Next:',
              'npm start -- --keep',
              'bin/troupe up --agents 2 --detach',
              `${withTorch(found)}bin/troupe run -f examples/two-node-ddp.yaml`,
              'bin/troupe down',
            ].join('\n  ')
          : 'something may be left: see above',
      )
      if (code !== 0) return 125
    }
    return outcome.code
  } catch (error) {
    if (ending) throw error
    say(`${error.code ?? 'failed'}: ${error.message}${error.hint ? `\n${error.hint}` : ''}`)
    await tearDown()
    return error.exitCode ?? 1
  }
}

async function run({ epochs, seed, env, home }) {
  say('\nstarting a bus, a coordinator and two node agents …')
  const up = JSON.parse(await output([TROUPE, 'up', '--agents', '2', '--detach', '--json'], env))
  say(
    `bus ${up.url} (pid ${up.pids.bus}), coordinator (pid ${up.pids.coordinator}), agents ${Object.entries(
      up.pids.agents,
    )
      .map(([node, pid]) => `${node} (pid ${pid})`)
      .join(', ')}`,
  )

  const { connect, parseLaunchText, applySets } = await import('../../dist/index.mjs')
  const troupe = await connect({ home })
  try {
    const file = join(root, 'examples/two-node-ddp.yaml')
    const { document } = parseLaunchText(await readFile(file, 'utf8'), file)
    const command = document.roles.trainer.command.with(
      document.roles.trainer.command.indexOf('--epochs') + 1,
      epochs,
    )
    const launch = applySets({ ...document, cwd: dirname(file) }, [
      `roles.trainer.command=${JSON.stringify(command.with(command.indexOf('--seed') + 1, seed))}`,
    ])
    const { run } = await troupe.launch(launch)
    say(`launched examples/two-node-ddp.yaml as ${run}\n`)

    const logs = (async () => {
      for await (const item of troupe.logs(run, { follow: true }))
        if (item.kind === 'line' && item.text.trim() !== '')
          process.stdout.write(`${item.prefix} ${item.text}\n`)
    })()
    for await (const event of troupe.watch(run)) {
      const line = describe(event)
      if (line) say(line)
      if (event.what === 'ended') break
    }
    await logs

    const status = await troupe.status(run)
    let accuracy = null
    for await (const item of troupe.logs(`${run}/evaluator`, { stream: 'stdout' })) {
      const match = item.kind === 'line' ? /test accuracy (\d+\.\d) % \(final\)/.exec(item.text) : null
      if (match) accuracy = Number(match[1])
    }
    return { run, code: report(status, accuracy) }
  } finally {
    await troupe.close()
  }
}

function describe(event) {
  if (event.role === undefined)
    return event.what === 'rejected' || event.state === undefined
      ? null
      : `• run is ${event.state}${event.reason ? `: ${event.reason}` : ''}`
  const worker = `${event.role}/${event.index}`
  if (event.what === 'started')
    return `• ${worker} started on ${event.node}, pid ${event.pid}${event.addr ? `, ${event.addr}` : ''}`
  if (event.what === 'ready' && event.addr) return `• ${worker} is ready at ${event.addr}`
  if (event.what === 'exited') return `• ${worker} exited: ${exitText(event.exit)}`
  if (event.what === 'gone') return `• ${worker} is gone: ${receiptText(event.receipt)}`
  return null
}

function exitText(exit) {
  if (!exit) return 'no exit'
  const how = exit.unknown ? `unknown (${exit.unknown})` : exit.signal ? exit.signal : `code ${exit.code}`
  return exit.killedBy ? `${how}, ended by us (${exit.killedBy.by})` : how
}
function receiptText(receipt) {
  return receipt === null
    ? 'no receipt'
    : receipt.outcome === 'gone'
      ? `nothing left, after ${Math.round(receipt.ms)} ms`
      : `${receipt.outcome}: ${receipt.reason ?? receipt.survivors.map((s) => `${s.pid} ${s.command}`).join(', ')}`
}
function seconds(ms) {
  return `${(ms / 1000).toFixed(1)} s`
}

/** Print the end of the story. @returns the exit code */
function report(status, accuracy) {
  const lines = ['']
  const failure = status.firstFailure
  if (failure) {
    lines.push(
      `FAILED: ${failure.worker}${failure.rank === undefined ? '' : `, rank ${failure.rank}`} on ${failure.node}: ${exitText(failure.exit)}`,
      ...failure.stderrTail.slice(-10).map((line) => `  | ${line}`),
    )
  }
  lines.push(
    accuracy === null
      ? 'test accuracy: the evaluator logged none'
      : `test accuracy: ${accuracy.toFixed(1)} %`,
  )
  const { queuedMs, startMs, runMs } = status.clocks
  lines.push(`clocks: queue ${seconds(queuedMs)}, start ${seconds(startMs)}, run ${seconds(runMs)}`)
  for (const role of status.roles)
    if (role.startSkewMs !== null && role.workers > 1)
      lines.push(`start skew of ${role.role}: ${role.startSkewMs.toFixed(0)} ms`)
  for (const worker of status.workers) {
    lines.push(
      `${worker.role}/${worker.index} on ${worker.node}: ${exitText(worker.exit)}; ${receiptText(worker.receipt)}`,
    )
    for (const rank of worker.ranks)
      lines.push(`  rank ${rank.rank} (pid ${rank.pid}): ${exitText(rank.exit)}`)
  }
  lines.push(`run ${status.run}: ${status.state}${status.reason ? ` (${status.reason})` : ''}`)
  const unproven = status.workers.filter((worker) => worker.receipt?.outcome !== 'gone')
  let code = status.state === 'succeeded' ? 0 : status.code || 1
  if (code === 0 && accuracy === null) [code] = [1, lines.push('the job ended without a final score')]
  else if (code === 0 && accuracy < AIM)
    [code] = [
      1,
      lines.push(
        `the test accuracy is below the aim of ${AIM} %: that is a failure of the job, though every process ended well`,
      ),
    ]
  if (code === 0 && unproven.length > 0)
    [code] = [
      1,
      lines.push(`no proof that these are gone: ${unproven.map((worker) => worker.worker).join(', ')}`),
    ]
  process.stdout.write(`${lines.join('\n')}\n`)
  return code
}

/** Workers get the PATH of the shell: its Python may have no torch, set-up's has. */
function withTorch({ TROUPE_PYTHON }) {
  return isAbsolute(TROUPE_PYTHON) ? `PATH=${dirname(TROUPE_PYTHON)}:$PATH ` : ''
}

function withResolvers() {
  let resolve
  const promise = new Promise((done) => (resolve = done))
  return { promise, resolve }
}

/** Run the command line; its talk goes to our stderr. In a group of its own: our Ctrl-C is ours to handle. */
function start(argv, env, stdout) {
  return spawn(argv[0], argv.slice(1), {
    cwd: root,
    env,
    detached: true,
    stdio: ['ignore', stdout, 'inherit'],
  })
}

function troupe(argv, env) {
  return new Promise((resolve, reject) =>
    start([TROUPE, ...argv], env, 'inherit')
      .on('error', reject)
      .on('close', (code) => resolve(code ?? 1)),
  )
}

/** Ends an `up` that is still at it, and waits for it: a `down` before its turn would find nothing. */
let endUp = async () => {}

function output(argv, env) {
  return new Promise((resolve, reject) => {
    const child = start(argv, env, 'pipe')
    const closed = new Promise((done) => child.on('close', done))
    endUp = () => (child.exitCode === null && child.signalCode === null && child.kill('SIGINT'), closed)
    let text = ''
    child.stdout.on('data', (chunk) => (text += chunk))
    child
      .on('error', reject)
      .on('close', (code) =>
        code === 0 ? resolve(text) : reject(new Error(`${argv.slice(1).join(' ')} ended with ${code}`)),
      )
  })
}
