import { expect, test } from 'vitest'
import { keepLastWords, LAST_WORDS_BYTES_MAX } from '../../../../src/core/agent/last-words.ts'
import type { Recovered } from '../../../../src/protocol/host.ts'
import { encode } from '../../../../src/protocol/codec.ts'
import type { ReplyOf } from '../../../../src/protocol/table.ts'
import { agentScript, only, specOf, type Script } from '../../../support/agent-steps.ts'

const KIB = 1024
const NO_EXIT = { code: 3, signal: null, oom: null, unknown: null }
/** 50 lines, 16 KiB: as many last words as a fork may have. */
function full(index: number): string[] {
  return Array.from({ length: 50 }, (_, line) => `${index}.${line} ${'e'.repeat(310)}`)
}
function idOf(index: number): string {
  return `run-1.trainer.${index}.1`
}
function exited(agent: Script, index: number, stderrTail: string[]) {
  const forkId = idOf(index)
  agent.running(specOf(forkId))
  return agent.step({
    type: 'host',
    at: agent.at,
    event: { what: 'exited', forkId, exit: NO_EXIT, exitedAt: 5, stderrTail, errorFile: null },
  })
}
function wordsIn(agent: Script): number {
  return [...agent.state.forks.values()].reduce((sum, fork) => sum + fork.stderrTail.join('').length, 0)
}
function inventory(agent: Script): ReplyOf<'node.inventory'>[] {
  const pages: ReplyOf<'node.inventory'>[] = []
  for (let from: string | null | undefined; from !== null;) {
    const body = from === undefined ? {} : { from }
    const commands = agent.order({ verb: 'inventory', body }, { epoch: null, notAfter: null })
    pages.push(only(commands, 'reply')[0]!.body as ReplyOf<'node.inventory'>)
    from = pages.at(-1)!.next
  }
  return pages
}

test('few forks keep all of their last words', () => {
  const agent = agentScript()
  for (let index = 0; index < 100; index++) exited(agent, index, full(index))
  expect(agent.state.forks.get(idOf(0))!.stderrTail).toEqual(full(0))
})

test('330 forks with full last words: bounded in sum, each with its last line, in pages that fit', () => {
  const agent = agentScript()
  for (let index = 0; index < 330; index++) exited(agent, index, full(index))
  expect(wordsIn(agent)).toBeLessThanOrEqual(LAST_WORDS_BYTES_MAX)
  const pages = inventory(agent)
  const reports = pages.flatMap((page) => page.forks)
  expect(reports).toHaveLength(330)
  for (const { index, stderrTail } of reports) expect(stderrTail.at(-1)).toBe(full(index).at(-1))
  for (const page of pages) expect(encode(page, 'msgpack').length).toBeLessThan(600 * KIB)
})

test('330 forks are killed by one order: its answer fits a message', () => {
  const agent = agentScript()
  for (let index = 0; index < 330; index++) exited(agent, index, full(index))
  const killedBy = { by: 'user', name: 'ann' } as const
  const forks = Array.from({ length: 330 }, (_, index) => ({
    forkId: idOf(index),
    signal: null,
    graceMs: 0,
    killedBy,
  }))
  const [reply] = only(agent.order({ verb: 'kill', body: { forks } }), 'reply')
  expect(encode(reply!.body, 'msgpack').length).toBeLessThan(3 * KIB * KIB)
})

test('the longest words are cut, at their beginning; short ones stay whole', () => {
  const agent = agentScript()
  for (let index = 0; index < 200; index++) exited(agent, index, [`only ${index}`])
  for (let index = 200; index < 400; index++) exited(agent, index, full(index))
  for (const [forkId, fork] of agent.state.forks) {
    const { index } = fork.spec
    if (index < 200) expect(fork.stderrTail, forkId).toEqual([`only ${index}`])
    else expect(full(index).join('\n').endsWith(fork.stderrTail.join('\n'))).toBe(true)
  }
})

test('one long line is cut within itself, not within a character', () => {
  const agent = agentScript()
  for (let index = 0; index < 200; index++) exited(agent, index, ['€'.repeat(5461)])
  for (const { stderrTail } of agent.state.forks.values()) expect(stderrTail[0]).toMatch(/^€+$/)
  expect(agent.state.forks.get(idOf(0))!.stderrTail[0]!.length).toBeLessThan(5461)
})

test('a fact that waits to be told has no more words than its fork', () => {
  const agent = agentScript()
  const [fact] = only(exited(agent, 0, full(0)), 'fact')
  for (let index = 1; index < 330; index++) exited(agent, index, full(index))
  expect(fact!.report.stderrTail).toEqual(agent.state.forks.get(idOf(0))!.stderrTail)
  expect(fact!.report.stderrTail.length).toBeLessThan(50)
})

test('torch’s error file keeps its beginning, and counts', () => {
  const agent = agentScript()
  for (let index = 0; index < 200; index++) {
    agent.running(specOf(idOf(index)))
    keepLastWords(
      agent.state,
      agent.state.forks.get(idOf(index))!,
      full(index),
      `{"message":"${'x'.repeat(16_000)}`,
    )
  }
  const forks = [...agent.state.forks.values()]
  const sum = forks.reduce((all, fork) => all + fork.stderrTail.join('').length + fork.errorFile!.length, 0)
  expect(sum).toBeLessThanOrEqual(LAST_WORDS_BYTES_MAX)
  expect(forks[0]!.errorFile).toMatch(/^\{"message":"x+$/)
})

test('forks that were forgotten free their share', () => {
  const agent = agentScript()
  for (let round = 0; round < 20; round++) {
    for (let index = 0; index < 100; index++) exited(agent, round * 100 + index, full(index))
    expect(agent.state.forks.get(idOf(round * 100))!.stderrTail).toHaveLength(50)
    agent.state.forks.clear()
  }
})

test('after the agent died: what the spool brings back is bounded, too', () => {
  const recovered = Array.from({ length: 330 }, (_, index): Recovered => ({
    spec: specOf(idOf(index)),
    phase: 'gone',
    prepared: null,
    started: { pid: 5, startedAt: 1 },
    exit: { ...NO_EXIT, exitedAt: 5 },
    stderrTail: full(index),
    errorFile: null,
    receipt: { outcome: 'gone', survivors: [], reason: null, ms: 1 },
    ranks: [],
    notes: {},
    logsFinal: {},
  }))
  const agent = agentScript({ recovered })
  expect(wordsIn(agent)).toBeLessThanOrEqual(LAST_WORDS_BYTES_MAX)
  expect(inventory(agent).flatMap((page) => page.forks)).toHaveLength(330)
})
