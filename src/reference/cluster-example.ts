/** nats/cluster: three servers of one cluster on one machine, as configuration texts for an example. */
import { serverConfigText } from '../transport/server-config.ts'

const NAMES = ['a', 'b', 'c'] as const
const FIRST_PORT = 14_222
const FIRST_ROUTE = 16_222
const host = '127.0.0.1'

/** Paths are of the directory in which the servers are started. */
export function clusterExample(): { path: string; text: string }[] {
  return NAMES.map((name, i) => ({
    path: `nats/cluster/${name}.conf`,
    text: serverConfigText({
      host,
      port: FIRST_PORT + i,
      serverName: name,
      storeDir: `${name}/store`,
      pidFile: `${name}.pid`,
      accountsDir: `${name}/accounts`,
      identity: { include: 'identity.conf' },
      cluster: {
        name: 'troupe',
        host,
        port: FIRST_ROUTE + i,
        routes: NAMES.map((_, k) => ({ host, port: FIRST_ROUTE + k })),
        trust: { cert: 'server.pem', key: 'server.key', ca: 'ca.pem' },
      },
    }),
  }))
}
