/**
 * Roles whose grace torchrun will cut, as far as that can be known before a launch: the torch that a torchrun
 * role would get here is too old to be told, or a torchrun in a command is told another time.
 */
import { basename } from 'node:path'
import type { Launch, Role } from '../../protocol/launch/resolved.ts'
import { SHUTDOWN_TIMEOUT, shutdownSeconds, TORCH_SHUTDOWN_S } from '../../protocol/shutdown-timeout.ts'
import { findTorchPython, saysWhich, setUpPython, torchRelease } from '../../system/find-torch.ts'
import { rolePath, type Shell } from './role-path.ts'

export async function graceNotes(shell: Shell, launch: Launch): Promise<string[]> {
  const notes = launch.roles.map((role) =>
    role.kind === 'torchrun'
      ? oldTorchNote(shell, launch, role)
      : Promise.resolve(ownTorchrunNote(launch, role)),
  )
  return (await Promise.all(notes)).filter((note) => note !== null)
}

async function oldTorchNote(shell: Shell, launch: Launch, role: Role): Promise<string | null> {
  const { graceMs } = role.stop
  if (graceMs <= TORCH_SHUTDOWN_S * 1000) return null
  const path = await rolePath(shell, launch, role)
  const found = path === null ? null : findTorchPython(role, path)
  if (found === null) return null
  const asked = { ...launch.env, ...role.env }
  const env = { ...shell.env, ...launch.callerEnv, ...asked }
  const setUp = saysWhich({ ...role, env: asked }) ? null : setUpPython(shell.env)
  const python = setUp !== null && torchRelease(found, env) === null ? setUp : found
  // that there is no torch is `validate`'s to say
  const torch = torchRelease(python, env)
  if (torch === null || torch.readsShutdownTimeout) return null
  return (
    `role ${role.name}: torch ${torch.version} of ${python} kills its ranks ${TORCH_SHUTDOWN_S} s after a stop, ` +
    `before the ${graceMs / 1000} s of stop.grace are over; torch 2.12 and later wait for them`
  )
}

/** A task that runs torchrun itself: what it is told stands in the command, or in the variable. */
function ownTorchrunNote(launch: Launch, { name, command, shell, env, stop }: Role): string | null {
  const words = shell ? command.flatMap((line) => line.split(/\s+/)) : command
  const at = words.findIndex(
    (word, i) => basename(word) === 'torchrun' || (word === 'torch.distributed.run' && words[i - 1] === '-m'),
  )
  if (at < 0) return null
  const text =
    shutdownFlag(words.slice(at + 1)) ??
    { ...launch.env, ...env }[SHUTDOWN_TIMEOUT] ??
    String(TORCH_SHUTDOWN_S)
  if (!/^\d{1,9}$/.test(text) || stop.graceMs <= Number(text) * 1000) return null
  const seconds = shutdownSeconds(stop.graceMs)
  return (
    `role ${name}: torchrun in its command kills its ranks ${text} s after a stop, before the ` +
    `${stop.graceMs / 1000} s of stop.grace are over; write --shutdown-timeout ${seconds} (torch 2.12 and later)`
  )
}

/** Of torchrun's own words: what comes after the program is the program's. */
function shutdownFlag(words: readonly string[]): string | undefined {
  const end = words.findIndex((word) => word.endsWith('.py') || /^(-m|--module|--no[-_]python)$/.test(word))
  const own = end < 0 ? words : words.slice(0, end)
  const flag = own.findLastIndex((word) => /^--shutdown[-_]timeout(=|$)/.test(word))
  if (flag < 0) return undefined
  return own[flag]!.includes('=') ? own[flag]!.slice(own[flag]!.indexOf('=') + 1) : own[flag + 1]
}
