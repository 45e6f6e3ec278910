/**
 * The simulated programs: what a process tree does by itself and how it takes signals. A program is written
 * into the command: `['sim', 'life=2000', 'code=1', 'term=ignore', 'kids=2', …]`; see `Program`. Owns one
 * tree; leases, spools and the shim are sim-host.ts.
 */
import type { Clock } from '../../src/system/clock.ts'
import type { Random } from './random.ts'

export interface Program {
  /** ms until the root ends by itself; null: never */
  lifeMs: number | null
  code: number
  /** ends by this signal instead of a code */
  signal: string | null
  /** what the root does about SIGTERM: dies of it, ends with a code after a while, or ignores it */
  term: 'die' | 'ignore' | number
  termMs: number
  /** so long after SIGTERM the root says that it saved; null: never */
  savesMs: number | null
  /** grandchildren, and whether they outlive the root and ignore SIGTERM */
  kids: number
  kidsStay: boolean
  kidsTerm: 'die' | 'ignore'
  /** exec fails with this code */
  exec: number | null
  /** from the shim's start to the root's exec */
  slowMs: number
  /** ms after its start at which the probe says yes, when there is a probe */
  readyMs: number
  /** bytes of log a second, roughly */
  logRate: number
  /** from this attempt on the program ends well */
  okFrom: number | null
}

export function programOf(command: readonly string[], attempt: number): Program {
  const values = new Map(command.slice(1).map((part) => part.split('=', 2) as [string, string]))
  const number = (key: string, otherwise: number): number =>
    values.has(key) ? Number(values.get(key)) : otherwise
  const optional = (key: string): number | null => (values.has(key) ? Number(values.get(key)) : null)
  const okFrom = optional('okFrom')
  const ok = okFrom !== null && attempt >= okFrom
  const term = values.get('term') ?? 'die'
  return {
    lifeMs: optional('life'),
    code: ok ? 0 : number('code', 0),
    signal: ok ? null : (values.get('signal') ?? null),
    term: term === 'die' || term === 'ignore' ? term : Number(term),
    termMs: number('termMs', 20),
    savesMs: optional('saves'),
    kids: number('kids', 0),
    kidsStay: values.get('kidsStay') === '1',
    kidsTerm: values.get('kidsTerm') === 'ignore' ? 'ignore' : 'die',
    exec: ok ? null : optional('exec'),
    slowMs: number('slow', 0),
    readyMs: number('ready', 200),
    logRate: number('log', 0),
    okFrom,
  }
}

export interface TrueExit {
  code: number | null
  signal: string | null
}

export interface SimTree {
  readonly rootPid: number
  readonly alive: ReadonlySet<number>
  readonly exit: TrueExit | null
  signal(signal: string): void
  signalRoot(signal: string): boolean
}

export function growTree(options: {
  program: Program
  clock: Clock
  random: Random
  pid: () => number
  onSpawn: (pid: number) => void
  onSaved: () => void
  onRootExit: (exit: TrueExit) => void
  onEmpty: () => void
}): SimTree {
  const { program, clock, random, pid, onSpawn, onSaved, onRootExit, onEmpty } = options
  const alive = new Set<number>()
  let exit: TrueExit | null = null
  const born = (): number => {
    const id = pid()
    alive.add(id)
    onSpawn(id)
    return id
  }
  const root = born()
  const end = (id: number, how: TrueExit): void => {
    if (!alive.delete(id)) return
    if (id === root) {
      exit = how
      onRootExit(how)
      if (!program.kidsStay)
        for (const kid of [...alive])
          clock.after(random.int(0, 30), () => end(kid, { code: 0, signal: null }))
    }
    if (alive.size === 0) onEmpty()
  }
  for (let i = 0; i < program.kids; i++)
    clock.after(random.int(1, 200), () => void (alive.has(root) && born()))
  if (program.lifeMs !== null)
    clock.after(program.lifeMs, () =>
      end(root, { code: program.signal === null ? program.code : null, signal: program.signal }),
    )

  const take = (id: number, signal: string): void => {
    if (signal === 'SIGKILL') return end(id, { code: null, signal })
    if (signal !== 'SIGTERM' && signal !== 'SIGINT' && signal !== 'SIGQUIT') return
    if (id === root && program.savesMs !== null)
      clock.after(program.savesMs, () => alive.has(root) && onSaved())
    const answer = id === root ? program.term : program.kidsTerm
    if (answer === 'ignore') return
    clock.after(answer === 'die' ? 0 : program.termMs, () =>
      end(id, typeof answer === 'number' ? { code: answer, signal: null } : { code: null, signal }),
    )
  }
  return {
    rootPid: root,
    alive,
    get exit() {
      return exit
    },
    signal: (signal) => [...alive].forEach((id) => take(id, signal)),
    signalRoot(signal) {
      if (!alive.has(root)) return false
      take(root, signal)
      return true
    },
  }
}
