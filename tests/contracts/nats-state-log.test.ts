/** The state log contract over a real nats-server. */
import { startTestServer } from '../support/test-server.ts'
import { stateLogContract } from './state-log.contract.ts'

stateLogContract('nats', async () => {
  const server = await startTestServer()
  return {
    connect: (name) => server.connect(name),
    cut: () => server.kill(),
    restore: () => server.start(),
    close: () => server.close(),
  }
})
