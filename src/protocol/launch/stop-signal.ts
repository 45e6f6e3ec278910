/**
 * The signals of a stop as people write them: one, or several with the time that each has: `INT 10s`. Each is
 * one that a program may answer to, and has time to.
 */
import * as z from 'zod'
import { parseSignal } from '../signals.ts'
import { STOP_SIGNALS_MAX } from './resolved.ts'
import { parseDuration } from './units.ts'

/** YAML reads `10` as a number. */
const Word = z.union([z.string(), z.number()])

export const StopSignal = z.union([Word, z.array(Word)]).transform((form, context) => {
  const refuse = (message: string): never => {
    context.addIssue({ code: 'custom', message })
    return z.NEVER
  }
  if (!Array.isArray(form)) {
    const read = oneSignal(String(form))
    return 'refusal' in read ? refuse(read.refusal) : read.signal
  }
  if (form.length === 0) return refuse('a stop needs a signal: write TERM, or [INT 10s, TERM 20s]')
  if (form.length > STOP_SIGNALS_MAX)
    return refuse(`${form.length} signals; a stop has at most ${STOP_SIGNALS_MAX}`)
  return form.map((text) => {
    const read = step(String(text))
    return 'refusal' in read ? refuse(read.refusal) : read
  })
})

type Refusal = { refusal: string }

function oneSignal(text: string): { signal: string } | Refusal {
  const signal = parseSignal(text)
  if (signal === null)
    return {
      refusal: `'${text}' is no signal; write TERM, INT, USR1…${/\s/.test(text) ? ', or a list: [INT 10s]' : ''}`,
    }
  return signal === 'SIGSTOP' ? { refusal: 'SIGSTOP only holds a program, and it cannot end' } : { signal }
}

function step(text: string): { signal: string; ms: number } | Refusal {
  const [word = '', time = '', ...more] = text.trim().split(/\s+/)
  const ms = parseDuration(time)
  if (parseSignal(word) === null || ms === null || more.length > 0)
    return { refusal: `'${text}' is no step of a stop; write 'INT 10s'` }
  const read = oneSignal(word)
  if ('refusal' in read) return read
  if (ms === 0) return { refusal: `'${text}' gives no time: what follows would come with it` }
  if (read.signal === 'SIGKILL')
    return { refusal: `'${text}': SIGKILL comes by itself after the last step; leave it out` }
  return { signal: read.signal, ms }
}
