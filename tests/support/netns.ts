/**
 * Machines made of network namespaces: each has interfaces, a host name, a loopback that is up, and
 * /etc/hosts of its own; disk, users and processes are this machine's. Their cables end in the bridges of a
 * namespace that is the switch, so this machine's own network and its filters see nothing of them. Needs
 * root.
 *
 * `close` ends what runs there and removes all of it. What a test run that was killed left is swept by the
 * next one: the names carry the pid and its start time.
 */
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { identify } from '../../src/fleet/presence.ts'
import { isAlive } from '../../src/system/proc.ts'
import { runProgram } from '../../src/system/run.ts'
import { until } from './test-server.ts'

export interface MachineOptions {
  /** net → addresses with prefix (`10.77.0.1/24`, `fd77::1/64`); the interfaces are eth0, eth1, … in order */
  nets: Record<string, string[]>
  /** gateway of the default route; absent: there is none */
  route?: string
  /** host name → address, in its /etc/hosts */
  hosts?: Record<string, string>
}

export interface Machine {
  /** its host name */
  readonly name: string
  /** argv by which a program runs there; the process that is started is the program itself */
  on(...command: string[]): string[]
  /** change it: `ip ARGS` there */
  ip(...args: string[]): Promise<void>
}

export interface Machines {
  add(name: string, options: MachineOptions): Promise<Machine>
  close(): Promise<void>
}

const NAMED = '/run/netns'
const ETC = '/etc/netns'

let started = 0

export async function startMachines(): Promise<Machines> {
  await sweep()
  const { pid, startTime } = identify(process.pid)!
  const prefix = `troupe-${pid}-${startTime}-${started++}-`
  const bridges = new Set<string>()
  let cables = 0
  const lan = `${prefix}switch`
  await batch([`netns add ${lan}`])
  return {
    async add(name, { nets, route, hosts = {} }) {
      const namespace = `${prefix}${name}`
      const lines = [`netns add ${namespace}`, `-n ${namespace} link set lo up`]
      for (const [i, [net, addresses]] of Object.entries(nets).entries()) {
        if (!bridges.has(net)) lines.push(...bridge(lan, net))
        bridges.add(net)
        const card = `-n ${namespace} link set eth${i} up`
        const cable = `v${cables++}`
        lines.push(`-n ${lan} link add ${cable} type veth peer name eth${i} netns ${namespace}`)
        lines.push(`-n ${lan} link set ${cable} master ${net} up`)
        for (const address of addresses)
          // nobody else has it: without the second in which IPv6 makes sure of that
          lines.push(
            `-n ${namespace} addr add ${address} dev eth${i}${address.includes(':') ? ' nodad' : ''}`,
          )
        lines.push(card)
      }
      if (route !== undefined) lines.push(`-n ${namespace} route add default via ${route}`)
      await batch(lines)
      await mkdir(join(ETC, namespace), { recursive: true })
      const names = { localhost: '127.0.0.1', ...hosts }
      const text = Object.entries(names).map(([host, address]) => `${address} ${host}\n`)
      await writeFile(join(ETC, namespace, 'hosts'), text.join(''))
      return {
        name,
        on: (...command) => [
          ...['ip', 'netns', 'exec', namespace, 'unshare', '--uts'],
          ...['sh', '-c', 'hostname "$0" && exec "$@"', name, ...command],
        ],
        ip: (...args) => ip('-n', namespace, ...args),
      }
    },
    close: () => removeAll(prefix),
  }
}

function bridge(lan: string, net: string): string[] {
  return [`-n ${lan} link add ${net} type bridge`, `-n ${lan} link set ${net} up`]
}

async function ip(...args: string[]): Promise<void> {
  await runProgram(['ip', ...args], { timeoutMs: 10_000 })
}

/** `ip` has options of a namespace only for all lines of a batch, so each line is a call. */
async function batch(lines: readonly string[]): Promise<void> {
  for (const line of lines) await ip(...line.split(' '))
}

/** What runs of tests left that were killed. */
async function sweep(): Promise<void> {
  for (const name of await named()) {
    const [prefix, pid, startTime] = /^troupe-(\d+)-(\d+)-/.exec(name) ?? []
    if (prefix !== undefined && !isAlive({ pid: Number(pid), startTime: startTime! })) await removeAll(prefix)
  }
}

async function named(): Promise<string[]> {
  return [...new Set([...(await listed(NAMED)), ...(await listed(ETC))])]
}
function listed(dir: string): Promise<string[]> {
  return readdir(dir).catch(() => [])
}

async function removeAll(prefix: string): Promise<void> {
  for (const name of (await named()).filter((one) => one.startsWith(prefix))) {
    if ((await listed(NAMED)).includes(name)) {
      // a process would keep the namespace, and the name would be gone
      await until(`nothing runs in ${name}`, async () => (await endIn(name)) === 0)
      await ip('netns', 'del', name)
    }
    await rm(join(ETC, name), { recursive: true, force: true })
  }
}

/** @returns how many there were */
async function endIn(namespace: string): Promise<number> {
  const { stdout } = await runProgram(['ip', 'netns', 'pids', namespace], { timeoutMs: 10_000 })
  const pids = stdout.split('\n').filter((line) => line !== '')
  for (const pid of pids)
    try {
      process.kill(Number(pid), 'SIGKILL')
    } catch {
      // it has ended
    }
  return pids.length
}
