/** Both shims below torchrun: each rank has one, which records its exit and ends as the rank ended. */
import { spawn } from 'node:child_process'
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { exitOf, readRecord } from '../../../src/process/records.ts'
import { isAlive, readStat } from '../../../src/system/proc.ts'
import { misbehave } from '../../support/linux-host.ts'
import { built, OOM, KINDS, shimSuite } from '../../support/shim-suite.ts'

describe.each(KINDS)('the %s shim as the shim of a rank', (kind) => {
  const { prepare, until } = shimSuite(kind)
  const rank = (argv: string[], env: Record<string, string> = {}) => {
    const fork = prepare(['true'])
    mkdirSync(join(fork.forkDir, 'ranks'))
    const shim = spawn(built[kind][0]!, [...built[kind].slice(1), '--rank', fork.forkDir, ...argv], {
      detached: true,
      stdio: 'ignore',
      env: {
        PATH: process.env['PATH'],
        RANK: '5',
        LOCAL_RANK: '1',
        TORCHELASTIC_RESTART_COUNT: '0',
        ...env,
      },
    })
    const end = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
      shim.once('exit', (code, signal) => resolve({ code, signal })),
    )
    return {
      ...fork,
      shim,
      end,
      rankRecord: (name = '1.0') => readRecord(join(fork.forkDir, 'ranks', name)),
    }
  }

  test.each([0, 7, 137])(
    'a rank that exits with %i: recorded, with its global rank, and the shim ends with the same code',
    async (code) => {
      const { end, rankRecord } = rank(['sh', '-c', `exit ${code}`])
      expect(await end).toEqual({ code, signal: null })
      expect(rankRecord().rank).toBe(5)
      expect(exitOf(rankRecord().exit!, OOM).code).toBe(code)
    },
  )

  test.each(['SIGKILL', 'SIGSEGV', 'SIGTERM'])(
    'a rank that ends by %s: recorded, and the shim ends by the same signal [FC-1]',
    async (signal) => {
      const { end, rankRecord } = rank(misbehave('signal-self', signal))
      expect(await end).toEqual({ code: null, signal })
      expect(exitOf(rankRecord().exit!, OOM).signal).toBe(signal)
    },
  )

  test('its output goes to files of its own, by rank and restart', async () => {
    const first = rank(['sh', '-c', 'echo out; echo err >&2'])
    await first.end
    expect([first.log('r5-stdout'), first.log('r5-stderr')]).toEqual(['out\n', 'err\n'])
    const second = rank(['echo', 'again'], { TORCHELASTIC_RESTART_COUNT: '2' })
    await second.end
    expect(second.log('r5.2-stdout')).toBe('again\n')
    expect(second.rankRecord('1.2').exit).not.toBeNull()
  })

  test('it stays in the group that torch kills, and outlives a TERM to the group until its rank has ended', async () => {
    const { shim, end, rankRecord, log } = rank(misbehave('on-term-exit', '9'))
    const child = await until(() => rankRecord().child, 'the rank is recorded')
    expect(readStat(child.pid)!.pgrp).toBe(shim.pid)
    await until(() => log('r5-stdout') === 'ready\n', 'the rank has its handler')
    process.kill(-shim.pid!, 'SIGTERM')
    expect(await end).toEqual({ code: 9, signal: null })
  })

  test('it is killed: its rank dies with it', async () => {
    const { shim, end, rankRecord } = rank(['sleep', '3600'])
    const child = await until(() => rankRecord().child, 'the rank is recorded')
    shim.kill('SIGKILL')
    await end
    await until(() => !isAlive(child), 'the rank is gone')
  })

  test('a command that is not there: 127, with its name in the stderr of the rank', async () => {
    const { end, log, rankRecord } = rank(['no-such-program'])
    expect(await end).toEqual({ code: 127, signal: null })
    expect(log('r5-stderr')).toContain('no-such-program')
    expect(exitOf(rankRecord().exit!, OOM).code).toBe(127)
  })
})
