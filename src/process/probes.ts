/**
 * Readiness probes: asks a worker again and again whether it is ready, and tells when the answer changes.
 * Quick at first, so that ready is seen soon, then at the probe's own interval. Whether it took too long is
 * the agent's to say.
 *
 * An attempt has a timeout of its own, so a process that is alive but hangs becomes unready like one that
 * refuses. A log probe stays ready once its line was seen.
 */
import { get } from 'node:http'
import { connect } from 'node:net'
import { Fault } from '../protocol/faults.ts'
import { formatHostPort } from '../protocol/hostport.ts'
import type { Probe } from '../protocol/launch/resolved.ts'
import { matchLogs } from './log-match.ts'

/** Pause after the first attempts; it doubles up to the probe's interval. */
const FIRST_PAUSE_MS = 50
export interface ProbeInput {
  /** templates filled in */
  probe: Probe
  host: string
  /** leased ports; http and tcp probes name one by its place */
  ports: readonly number[]
  /** runs a program beside the worker and gives its exit code; rejects when it cannot or takes longer */
  run(argv: string[], timeoutMs: number): Promise<number>
  /** log files of the worker that exist now */
  logFiles(): string[]
  /** called when the answer, or the reason for no, is another one than before; first for the first answer */
  onChange(ready: boolean, reason: string | null): void
}

/** @throws {Fault} SPEC_INVALID for a pattern that is none, WORKER_CONFIG for a port that is not leased */
export function startProbe(input: ProbeInput): { stop(): void } {
  const { probe, onChange } = input
  const { ask, close } = attemptOf(input)
  const firstPauseMs = Math.min(FIRST_PAUSE_MS, probe.intervalMs)
  let stopped = false
  let timer: NodeJS.Timeout | null = null
  let ready = false
  let told: string | null = null
  let failures = 0
  let pauseMs = firstPauseMs

  const tell = (reason: string | null): void => {
    const text = `${ready} ${reason}`
    if (text === told) return
    told = text
    onChange(ready, reason)
  }

  const round = async (): Promise<void> => {
    const reason = await ask().catch((error: unknown) =>
      error instanceof Error ? error.message : String(error),
    )
    if (stopped) return
    if (reason === null) {
      ready = true
      failures = 0
      pauseMs = probe.intervalMs
      tell(null)
      if (probe.kind === 'log') return close?.()
    } else if (!ready || ++failures >= probe.failures) {
      if (ready) pauseMs = firstPauseMs
      ready = false
      failures = 0
      tell(reason)
    }
    timer = setTimeout(() => void round(), pauseMs)
    if (!ready) pauseMs = Math.min(pauseMs * 2, probe.intervalMs)
  }
  void round()

  return {
    stop() {
      stopped = true
      if (timer !== null) clearTimeout(timer)
      close?.()
    },
  }
}

interface Attempt {
  /** resolves with null for yes, else with why not */
  ask(): Promise<string | null>
  close?(): void
}

function attemptOf({ probe, host, ports, run, logFiles }: ProbeInput): Attempt {
  switch (probe.kind) {
    case 'http': {
      const port = portOf(ports, probe.port)
      return { ask: () => askHttp(host, port, probe.path, probe.attemptTimeoutMs) }
    }
    case 'tcp': {
      const port = portOf(ports, probe.port)
      return { ask: () => askTcp(host, port, probe.attemptTimeoutMs) }
    }
    case 'exec':
      return {
        async ask() {
          const code = await run(probe.command, probe.attemptTimeoutMs)
          return code === 0 ? null : `${probe.command[0]} exited with ${code}`
        },
      }
    case 'log': {
      const log = matchLogs({ pattern: probe.pattern, files: logFiles })
      const notYet = `no line matches '${probe.pattern}' yet`
      return { ask: async () => ((await log.look()) === null ? notYet : null), close: () => log.close() }
    }
  }
}

function portOf(ports: readonly number[], place: number): number {
  const port = ports[place]
  if (port === undefined)
    throw new Fault('WORKER_CONFIG', `the probe asks port ${place}, and ${ports.length} are leased`)
  return port
}

function askHttp(host: string, port: number, path: string, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const where = `GET http://${formatHostPort(host, port)}${path}`
    // no agent: a kept connection would say nothing about whether the worker still accepts new ones
    const request = get({ host, port, path, agent: false }, (response) => {
      const { statusCode = 0 } = response
      resolve(statusCode >= 200 && statusCode < 300 ? null : `${where} answered ${statusCode}`)
      request.destroy()
    })
    const timer = setTimeout(() => {
      resolve(`${where}: no answer in ${timeoutMs} ms`)
      request.destroy()
    }, timeoutMs)
    request.on('error', (error: NodeJS.ErrnoException) => resolve(`${where}: ${error.code ?? error.message}`))
    request.on('close', () => clearTimeout(timer))
  })
}

function askTcp(host: string, port: number, timeoutMs: number): Promise<string | null> {
  return new Promise((resolve) => {
    const where = formatHostPort(host, port)
    const socket = connect({ host, port }, () => {
      resolve(null)
      socket.destroy()
    })
    const timer = setTimeout(() => {
      resolve(`${where}: no connection in ${timeoutMs} ms`)
      socket.destroy()
    }, timeoutMs)
    socket.on('error', (error: NodeJS.ErrnoException) => resolve(`${where}: ${error.code ?? error.message}`))
    socket.on('close', () => clearTimeout(timer))
  })
}
