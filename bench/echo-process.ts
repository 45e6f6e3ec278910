/** A process that answers on the raw bus, over as many connections as it is told; it ends with its parent. */
import { connectNats } from '../src/transport/nats/bus.ts'
import { ECHO_SUBJECT, type EchoOrder } from './raw-bus.ts'

const { url, credentials, connections } = JSON.parse(process.argv[2]!) as EchoOrder
process.once('disconnect', () => process.exit(0))

for (let i = 0; i < connections; i++) {
  const bus = await connectNats({ servers: url, credentials, name: `echo ${i}`, connectTimeoutMs: 20_000 })
  bus.subscribe(ECHO_SUBJECT, (message) => message.respond(message.body))
  await bus.flush()
}
process.send!('ready')
