/**
 * Every command by name, with how to load it: only the one that was typed is imported, so that `troupe ps`
 * starts as fast as it can. Owns the list; help, completion and the reference are made from it.
 */
import type { Commands } from './command.ts'

export const COMMANDS: Commands = {
  up: {
    summary: 'start a fleet here: bus, coordinator, agents; again: what is missing',
    load: () => import('../commands/up.ts'),
  },
  down: {
    summary: 'end the fleet here: runs, agents, coordinator, bus',
    load: () => import('../commands/down.ts'),
  },
  launch: {
    summary: 'launch a document or a command, and return when it is accepted',
    load: () => import('../commands/launch.ts'),
  },
  run: {
    summary: 'launch, follow, and exit with the run’s code; Ctrl-C stops it',
    load: () => import('../commands/run.ts'),
  },
  ps: { summary: 'list runs', load: () => import('../commands/ps.ts') },
  status: {
    summary: 'show a run: its state, first failure, clocks, workers and ranks',
    load: () => import('../commands/status.ts'),
  },
  logs: { summary: 'show logs of a run, role, worker or rank', load: () => import('../commands/logs.ts') },
  events: {
    summary: 'show what happened to a run, or to everything',
    load: () => import('../commands/events.ts'),
  },
  explain: {
    summary: 'say why a run, role or worker is where it is, and what to look at next',
    load: () => import('../commands/explain.ts'),
  },
  wait: {
    summary: 'wait for a run, role or worker, and exit with its code',
    load: () => import('../commands/wait.ts'),
  },
  stop: {
    summary: 'stop a run, role or worker by its ladder, and prove that nothing is left',
    load: () => import('../commands/stop.ts'),
  },
  kill: {
    summary: 'kill a run, role or worker at once, and prove that nothing is left',
    load: () => import('../commands/kill.ts'),
  },
  signal: {
    summary: 'send one signal to the root processes of a run, role or worker; of torchrun to its ranks',
    load: () => import('../commands/signal.ts'),
  },
  nodes: {
    summary: 'list nodes; invite one of another machine, let one accept a new store, take one out of service',
    load: () => import('../commands/nodes.ts'),
  },
  tenants: {
    summary: 'fleets of others on the bus of this home: add, list',
    load: () => import('../commands/tenants.ts'),
  },
  validate: {
    summary: 'check a launch document, without a fleet',
    load: () => import('../commands/validate.ts'),
  },
  context: {
    summary: 'list, show, choose, add and export contexts: which fleet the commands speak to',
    load: () => import('../commands/context.ts'),
  },
  user: {
    summary: 'credentials of people: add, list, revoke',
    load: () => import('../commands/user.ts'),
  },
  keys: {
    summary: 'keys and credentials of the fleet: what there is, until when; exchange them',
    load: () => import('../commands/keys.ts'),
  },
  agent: {
    summary: 'run one node agent here, in the foreground; SIGTERM leaves its workers',
    load: () => import('../commands/agent.ts'),
  },
  coordinator: {
    summary: 'run a coordinator here, in the foreground; a second one stands by',
    load: () => import('../commands/coordinator.ts'),
  },
  completion: {
    summary: 'print a completion script for bash, zsh or fish',
    load: () => import('../commands/completion.ts'),
  },
  __complete: { summary: 'complete a command line', load: () => import('../commands/complete.ts') },
}

/** Words of `ray job`, for fingers that know them. */
export const ALIASES: Readonly<Record<string, string>> = { submit: 'launch', list: 'ps' }
