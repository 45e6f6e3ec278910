// What set-up prints: one line per step on stderr; on a terminal a long step's last output line is shown and
// rewritten.
import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

const tty = process.stderr.isTTY
function clip(text) {
  return text.slice(0, (process.stderr.columns || 100) - 4)
}

export function say(text) {
  return process.stderr.write(`${tty ? '\r\x1b[K' : ''}${text}\n`)
}

/** Thrown when something cannot be got; the message says what to do. Never a stack trace for the user. */
export class SetupError extends Error {}

const children = new Set()

function signalGroup(child, signal) {
  try {
    process.kill(-child.pid, signal)
  } catch {
    // it has ended already
  }
}

/** End what set-up started, and wait for it: called on Ctrl-C. */
export function endSteps() {
  return Promise.all(
    [...children].map(
      (child) =>
        new Promise((resolve) => {
          child.once('close', resolve)
          signalGroup(child, 'SIGTERM')
          setTimeout(() => signalGroup(child, 'SIGKILL'), 5000).unref()
        }),
    ),
  )
}

/**
 * Run a program with its output as progress; rejects with the last lines when it fails.
 * @param {string} title
 * @param {string[]} argv
 * @param {import('node:child_process').SpawnOptions} [options]
 */
export async function step(title, argv, options = {}) {
  const started = performance.now()
  const last = []
  if (tty) process.stderr.write(`\r\x1b[K${clip(title)} …`)
  else say(`${title} …`)
  const child = spawn(argv[0], argv.slice(1), {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    ...options,
  })
  children.add(child)
  let beat = performance.now()
  for (const stream of [child.stdout, child.stderr])
    createInterface({ input: stream }).on('line', (line) => {
      last.push(line)
      if (last.length > 15) last.shift()
      if (tty) process.stderr.write(`\r\x1b[K${clip(`${title}: ${line.trim()}`)}`)
      else if (performance.now() - beat > 20_000) {
        beat = performance.now()
        say(`  still at it, ${Math.round((beat - started) / 1000)} s: ${line.trim().slice(0, 120)}`)
      }
    })
  const [code, signal] = await new Promise((resolve, reject) => {
    child.on('error', (error) => reject(new SetupError(`${title}: cannot run ${argv[0]}: ${error.message}`)))
    child.on('close', (...end) => resolve(end))
  }).finally(() => children.delete(child))
  if (code !== 0)
    throw new SetupError(
      `${title} failed (${signal ?? `exit ${code}`}): ${argv.join(' ')}\n${last.map((line) => `  | ${line}`).join('\n')}`,
    )
  say(`${title}: ${((performance.now() - started) / 1000).toFixed(1)} s`)
}

/** Run quietly; resolves `{ code, stdout }` and never rejects. */
export function quiet(argv, options = {}) {
  return new Promise((resolve) => {
    const child = spawn(argv[0], argv.slice(1), {
      stdio: ['ignore', 'pipe', 'ignore'],
      // `timeout` of spawn keeps its timer, and Node with it, when the program is not there
      signal: AbortSignal.timeout(60_000),
      ...options,
    })
    let stdout = ''
    child.stdout?.on('data', (chunk) => (stdout += chunk))
    child.on('error', () => resolve({ code: 127, stdout: '' }))
    child.on('close', (code) => resolve({ code: code ?? 1, stdout }))
  })
}
