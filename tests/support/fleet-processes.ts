/** The processes of a fleet, as the machine sees them. */
import { readdir, readFile } from 'node:fs/promises'
import { alive } from './fleet.ts'

/** Every process that works for the fleet in `home`, by its command line. */
export async function processesOf(home: string): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const [command, environ] = await Promise.all(
      ['cmdline', 'environ'].map((name) => readFile(`/proc/${pid}/${name}`, 'latin1').catch(() => '')),
    )
    if ((command!.includes(home) || environ!.includes(`TROUPE_HOME=${home}\0`)) && (await alive(Number(pid))))
      found.push(`${pid} ${command!.replaceAll('\0', ' ').trim()}`)
  }
  return found
}
