/** `troupe validate FILE`: is a launch document right? Needs no fleet. */
import type { Role } from '../../protocol/launch/resolved.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import { listOption } from '../frame/options.ts'

export const command: CliCommand = {
  name: 'validate',
  summary: 'check a launch document, without a fleet',
  register(program, io) {
    verb(program, 'validate <file>', this.summary)
      .option('--set <path=value>', 'set a value of the document (again for more)', listOption)
      .action(async (file: string, flags: { set?: string[] }) => {
        const { readDocument } = await import('../document/document.ts')
        const { launch } = await readDocument(io, { file, ...flags, envFrom: 'none' })
        for (const { name, minReplicas, replicas } of launch.roles)
          if (minReplicas < replicas)
            io.stderr(
              `note: role ${name} starts with the nodes that are there, ${minReplicas} to ${replicas}, and goes on ` +
                'with fewer when one goes; a node that comes later is not taken in',
            )
        const { graceNotes } = await import('../document/grace-notes.ts')
        for (const note of await graceNotes(io, launch)) io.stderr(`note: ${note}`)
        const { torchOfLaunch } = await import('../../process/torch-of-launch.ts')
        const { rolePath } = await import('../document/role-path.ts')
        const { env, cwd } = io
        const pathOf = (role: Role): Promise<string | null> => rolePath(io, launch, role)
        const { notes, pythons: torchPython } = await torchOfLaunch(launch, { env, cwd, pathOf })
        for (const note of notes) io.stderr(`note: ${note}`)
        const workers = launch.roles.reduce((sum, role) => sum + role.replicas, 0)
        if (io.json)
          io.printJson({ ok: true, name: launch.name, roles: launch.roles.length, workers, torchPython })
        else if (!io.quiet)
          io.stdout(
            `ok: ${launch.name}, ${launch.roles.length} ${launch.roles.length === 1 ? 'role' : 'roles'}, ${workers} ${workers === 1 ? 'worker' : 'workers'}\n`,
          )
      })
  },
}
