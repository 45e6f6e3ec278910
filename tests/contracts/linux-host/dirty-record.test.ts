/** A worker writes over what its shim has recorded: it runs once, and its end is the true one or unknown. */
import { rmSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { fileOf, forkDirOf } from '../../../src/process/spool.ts'
import { readStat } from '../../../src/system/proc.ts'
import { events, host, logOf, spoolDir, start, until } from '../../support/linux-host-suite.ts'
import { BOUND_MS, ended, openAs, sh } from '../../support/dirty-workers.ts'

const RECORD = '"$TROUPE_FORK_DIR/record"'

describe.each(['C', 'Python'])('a worker and its record, %s shim', (kind) => {
  const openHost = () => openAs(kind)

  test.each([
    ['random bytes over it', `head -c 512 /dev/urandom > ${RECORD}`],
    ['random bytes into it', `head -c 512 /dev/urandom | dd of=${RECORD} conv=notrunc status=none`],
    ['its first slot alone', `truncate -s 128 ${RECORD}`],
    ['more behind it, and other words in it', `yes 'shim 1 0' | head -c 4096 > ${RECORD}`],
    ['a later version’s form', `printf '%-127s\\n' '{"shim":1}' '{"child":2}' '' '' > ${RECORD}`],
    ['another fork’s record', `cp "$OTHER_RECORD" ${RECORD}`],
    ['a directory', `rm ${RECORD}; mkdir ${RECORD}`],
    ['a directory with something in it', `rm ${RECORD}; mkdir -p ${RECORD}/x/y`],
  ])('it puts %s in place of the record: it runs once, and its own end is told', async (_, deed) => {
    await openHost()
    const other = sh('exec sleep 3600', 9)
    const { pid } = await start(other)
    const record = fileOf.record(forkDirOf(spoolDir, other.forkId))
    const say = `OTHER_RECORD='${record}'; ${deed}`
    // at once, before the agent has read that it runs; and in its life
    const [early, short, late] = [
      sh(`${say}; echo ran; sleep 1; exit 5`, 0),
      sh(`${say}; exit 6`, 1),
      sh(`sleep 0.3; ${deed.replace('"$OTHER_RECORD"', `'${record}'`)}; exec sleep 3600`, 2),
    ]
    expect((await start(early)).pid).toBeGreaterThan(1)
    expect((await start(short)).pid).toBeGreaterThan(1)
    await start(late)
    for (const [spec, code] of [
      [early, 5],
      [short, 6],
    ] as const)
      expect(await ended(spec.forkId)).toMatchObject({
        exit: { code, unknown: null },
        receipt: { outcome: 'gone' },
      })
    expect(logOf(early.forkId, 'stdout')).toBe('ran\n')
    await host.killTree(late.forkId)
    expect(await ended(late.forkId)).toMatchObject({
      exit: { signal: 'SIGKILL' },
      receipt: { outcome: 'gone' },
    })
    expect(readStat(pid!)?.state).not.toBeUndefined()
    await host.killTree(other.forkId)
    expect(await ended(other.forkId)).toMatchObject({ exit: { signal: 'SIGKILL' } })
  })

  test.each([
    ['its agent lives', false],
    ['another agent comes', true],
  ])(
    'it writes over the record and its shim is killed, %s: unknown, with why, never gone',
    async (_, again) => {
      await openHost()
      const spec = sh(
        `head -c 512 /dev/urandom > ${RECORD}; kill -9 $PPID; head -c 512 /dev/urandom > ${RECORD}; echo; exec sleep 3600`,
      )
      expect((await start(spec)).pid).toBeGreaterThan(1)
      await until(() => logOf(spec.forkId, 'stdout') === '\n', 'it did')
      if (again) {
        await host.close()
        rmSync(fileOf.verdict(forkDirOf(spoolDir, spec.forkId)), { force: true })
        const [found] = await openHost()
        expect(found?.started?.pid).toBeGreaterThan(1)
        expect(found?.exit?.unknown).toContain('its record cannot be read')
        await host.killTree(spec.forkId)
      } else {
        const { exit } = await events.next('exited', spec.forkId, undefined, BOUND_MS)
        // its last look may have come between the kill and what is written after it
        expect(exit.unknown).toMatch(/^(its record cannot be read|the shim was killed)/)
        await host.killTree(spec.forkId)
      }
      const { receipt } = await events.next('empty', spec.forkId, undefined, BOUND_MS)
      expect(receipt).toMatchObject({ outcome: 'unverified' })
      expect(receipt.reason).toMatch(/^(its record cannot be read|the shim was killed): a process/)
    },
  )
})
