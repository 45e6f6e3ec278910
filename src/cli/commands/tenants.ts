/** `troupe tenants add | list`: fleets of others on the bus of this home. */
import { findConnection } from '../../client/context.ts'
import { homeLayout } from '../../fleet/home.ts'
import { withFleetLock } from '../../fleet/own-fleet.ts'
import { addTenant, readTenants } from '../../fleet/tenants.ts'
import { homeOf } from '../../system/paths.ts'
import { verb, type CliCommand } from '../frame/command.ts'
import type { Io } from '../frame/io.ts'
import { refuseOpenOutput, writeSecret } from '../frame/secret-output.ts'

export const command: CliCommand = {
  name: 'tenants',
  summary: 'fleets of others on the bus of this home: add, list',
  register(program, io) {
    const tenants = program.command('tenants').summary(this.summary).description(this.summary)
    verb(
      tenants,
      'add <fleet>',
      'let a fleet of somebody else live on this bus: one file, for `up --bus` there',
    )
      .option('-o, --output <file>', 'write it to a new file, 0600, rather than to stdout')
      .action((fleet: string, flags: { output?: string }) => add(io, fleet, flags.output))
    verb(tenants, 'list', 'list the fleets on this bus').action(() => list(io))
  },
}

async function add(io: Io, fleet: string, output: string | undefined): Promise<void> {
  await refuseOpenOutput(io, output, `troupe tenants add ${fleet}`)
  const layout = homeLayout(io.env as NodeJS.ProcessEnv)
  await readTenants(layout)
  // the context of the home's own fleet knows where the bus is
  const { url, credentials } = await findConnection({ home: homeOf(io.env), context: 'local' })
  const bus = { url, ...(credentials.ca !== undefined && { ca: credentials.ca }) }
  const untold = await withFleetLock(
    { layout },
    'tenants add',
    (line) => io.stderr(line),
    () => addTenant(layout, fleet, bus, (text) => writeSecret(io, output, text)),
  )
  if (output !== undefined)
    if (io.json) io.printJson({ fleet, url, file: output, told: untold === null })
    else io.stdout(`${output}\n`)
  io.stderr(
    untold === null
      ? `the fleet ${fleet} may live on the bus at ${url}`
      : `the fleet ${fleet} may live on the bus at ${url} when that is up: ${untold.message}`,
  )
  io.stderr(
    'the file mints every credential of that fleet: nobody but its owner may have it, and no copy is kept here',
  )
  io.stderr(`next, where the owner of ${fleet} works: troupe up --bus ${output ?? 'FILE'}`)
}

async function list(io: Io): Promise<void> {
  const layout = homeLayout(io.env as NodeJS.ProcessEnv)
  const { tenants } = await readTenants(layout)
  const fleets = Object.keys(tenants).toSorted()
  if (io.json) return io.printJson(fleets.map((fleet) => ({ fleet, own: fleet === layout.fleet })))
  for (const fleet of fleets)
    io.stdout(io.quiet || fleet !== layout.fleet ? `${fleet}\n` : `${fleet} (of this home)\n`)
}
