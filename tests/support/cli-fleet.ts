/** A fleet of two nodes for the tests of one file, which drive it by the command line. */
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { startFleet, task, type Fleet } from './fleet.ts'

export interface CliFleet {
  readonly fleet: Fleet
  /** a directory of the file's own */
  readonly dir: string
  /** @returns the run */
  launch(name: string, command: string[], role?: object, top?: object): Promise<string>
  /** Start a command; its end is listened for at once: it may come while something else is awaited. */
  start(args: string[]): ReturnType<Fleet['start']> & { ended: Promise<unknown> }
}

/** To be called at the top of a file: it registers the hooks. */
export function cliFleet(): CliFleet {
  let fleet: Fleet
  let dir: string
  beforeAll(async () => {
    fleet = await startFleet({ agents: 2 })
    dir = await mkdtemp(join(tmpdir(), 'troupe-cli-it-'))
  })
  afterAll(async () => {
    await rm(dir, { recursive: true, force: true })
    await fleet.end()
  })
  return {
    get fleet() {
      return fleet
    },
    get dir() {
      return dir
    },
    async launch(name, command, role = {}, top = {}) {
      const ran = await fleet.troupe(['launch', '-q', '-f', '-'], { input: task(name, command, role, top) })
      if (ran.code !== 0) throw new Error(ran.stderr)
      return ran.stdout.trim()
    },
    start(args) {
      const child = fleet.start(args)
      return Object.assign(child, { ended: once(child, 'close') })
    },
  }
}
