/** Small texts: durations, exits, receipts, as all commands say them. */
import { causeText } from '../../protocol/causes.ts'
import type { Exit, Receipt } from '../../protocol/shapes.ts'

function two(n: number): string {
  return String(n).padStart(2, '0')
}

/** `0.8 s`, `12 s`, `3m05s`, `2h10m`, `4d03h` */
export function durationText(ms: number): string {
  const seconds = ms / 1000
  if (seconds < 10) return `${seconds.toFixed(1)} s`
  if (seconds < 60) return `${Math.round(seconds)} s`
  const whole = Math.round(seconds)
  if (whole < 3600) return `${Math.floor(whole / 60)}m${two(whole % 60)}s`
  if (whole < 86_400) return `${Math.floor(whole / 3600)}h${two(Math.floor((whole % 3600) / 60))}m`
  return `${Math.floor(whole / 86_400)}d${two(Math.floor((whole % 86_400) / 3600))}h`
}

/**
 * `exited 7`, `exited 1 in set-up, at 'module load cuda'`, `killed by SIGSEGV`, `exited 0, ended by ann`
 */
export function exitText(exit: Exit | null): string {
  if (exit === null) return 'no exit'
  const how =
    exit.unknown !== null
      ? `${exit.unknown.startsWith('could not start') ? '' : 'exit unknown: '}${exit.unknown}`
      : exit.signal !== null
        ? `killed by ${exit.signal}${exit.sentBy === undefined ? '' : `, sent by ${exit.sentBy}`}`
        : `exited ${exit.code}`
  const where =
    exit.inSetUp === undefined ? '' : ` in set-up${exit.inSetUp === '' ? '' : `, at '${exit.inSetUp}'`}`
  return `${how}${where}${exit.oom === true ? ' (out of memory)' : ''}${exit.killedBy === null ? '' : `, ended by ${causeText(exit.killedBy)}`}`
}

export function receiptText(receipt: Receipt | null): string {
  if (receipt === null) return '-'
  if (receipt.outcome === 'gone') return 'gone'
  if (receipt.outcome === 'unverified')
    return `unverified${receipt.reason === null ? '' : `: ${receipt.reason}`}`
  return `survivors: ${receipt.survivors.map(({ pid, command }) => `${pid} ${command}`).join(', ')}`
}

/** `14:03:09` of a Unix time in ms, in the reader's zone */
export function clockText(at: number): string {
  return new Date(at).toTimeString().slice(0, 8)
}
