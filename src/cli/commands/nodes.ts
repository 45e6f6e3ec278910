/** `troupe nodes`, `nodes invite | revoke | adopt | drain`: the machines of the fleet. */
import type { NodeInfo } from '../../protocol/node-info.ts'
import { durationOption } from '../frame/options.ts'
import type { InviteFlags } from './nodes-invite.ts'
import { asking, verb, type CliCommand } from '../frame/command.ts'
import { table } from '../render/table.ts'
import { durationText } from '../render/text.ts'
import { withTroupe } from '../frame/with-troupe.ts'

export const command: CliCommand = {
  name: 'nodes',
  summary: 'list nodes; invite one of another machine, let one accept a new store, take one out of service',
  register(program, io) {
    const nodes = asking(verb(program, 'nodes', this.summary)).action(() =>
      withTroupe(io, async (troupe) => {
        const list = await troupe.nodes()
        if (io.json) io.printJson(list)
        else if (io.quiet) for (const { node } of list) io.stdout(`${node}\n`)
        else io.stdout(nodesTable(list))
      }),
    )
    verb(
      nodes,
      'invite <new...>',
      'make the credential of a node on another machine; its agent joins with it',
    )
      .option('--expires <time>', 'it ends after so long, at most 366d (default: 12h)', durationOption)
      .option('-o, --output <file>', 'write it there, 0600; for several nodes a directory, a file each')
      .action(async (names: string[], flags: InviteFlags) =>
        (await import('./nodes-invite.ts')).invite(io, names, flags),
      )
    verb(
      nodes,
      'revoke <node>',
      'end the credential of an invited node now: by name, or by its public key (U…)',
    ).action(async (word: string) => (await import('./nodes-revoke.ts')).revokeNode(io, word))
    asking(verb(nodes, 'adopt <node>', 'after the state store was made anew: let a node accept it')).action(
      (node: string) =>
        withTroupe(io, async (troupe) => {
          await troupe.adopt(node)
          if (io.json) io.printJson({ node })
          else io.stderr(`${node} accepts the new store`)
        }),
    )
    asking(verb(nodes, 'drain <node>', 'place nothing new on a node; what runs there runs on'))
      .option('--off', 'place on it again')
      .action((node: string, flags: { off?: boolean }) =>
        withTroupe(io, async (troupe) => {
          await troupe.drain(node, flags.off !== true)
          if (io.json) io.printJson({ node, draining: flags.off !== true })
          else io.stderr(flags.off === true ? `${node} takes workers again` : `${node} takes no new workers`)
        }),
      )
  },
}

export function nodesTable(nodes: readonly NodeInfo[]): string {
  return table(
    ['NODE', 'STATE', 'HOST', 'ADDRESS', 'CPUS', 'GPUS', 'MEMORY', 'WORKERS', 'SEEN', 'LAG', 'REASON'],
    nodes.map((n) => [
      n.node,
      n.state,
      n.hostname,
      n.address ?? null,
      n.cpus,
      n.gpusSharedWith === undefined ? n.gpus : `${n.gpus} (as ${n.gpusSharedWith.join(', ')})`,
      `${Math.round(n.memoryBytes / 1e9)} GB`,
      n.workers,
      `${durationText(n.lastSeenMs)} ago`,
      `${Math.round(n.loopLagMs)} ms`,
      reasonText(n),
    ]),
  )
}

/** Both: a node that refuses its orders has unowned forks as a rule. */
function reasonText({ reason, unowned, unownedCount }: NodeInfo): string | null {
  const more = unownedCount > unowned.length ? `, and ${unownedCount - unowned.length} more` : ''
  return (
    [reason, unowned.length > 0 ? `unowned: ${unowned.join(', ')}${more}` : null]
      .filter((text) => text !== null)
      .join('; ') || null
  )
}
