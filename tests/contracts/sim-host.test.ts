/**
 * The contract suite over the simulator's host: what the simulation proves rests on its doing what the real
 * one does.
 */
import { manualClock } from '../support/manual-clock.ts'
import { randomOf } from '../support/random.ts'
import { simMachine } from '../support/sim-host.ts'
import { simProcess, type SimProcess } from '../support/sim-process.ts'
import { processHostContract, type HostUnderTest, type Programs } from './process-host.contract.ts'

const programs: Programs = {
  exits: (code) => ['sim', 'life=10', `code=${code}`],
  stays: ['sim'],
  stubborn: ['sim', 'term=ignore'],
  leavesOne: (code) => ['sim', 'life=300', `code=${code}`, 'kids=1', 'kidsStay=1', 'kidsTerm=ignore'],
  killsItself: ['sim', 'life=10', 'signal=SIGKILL'],
  saves: ['sim', 'saves=5', 'term=0', 'termMs=30'],
  missing: ['sim', 'exec=127'],
}

let seed = 0
processHostContract('the simulated host', async (): Promise<HostUnderTest> => {
  const clock = manualClock()
  const random = randomOf(++seed)
  const machine = simMachine({ node: 'n0', clock, random })
  // time runs as fast as there is something to wait for
  let running = true
  const pump = async (): Promise<void> => {
    while (running) if (!(await clock.step())) await clock.settle()
  }
  void pump()
  const agents: SimProcess[] = []
  const agent = () => {
    const process = simProcess({ name: `n0#${agents.length}`, clock, nowOffset: 0, wallOffset: 0 })
    agents.push(process)
    return machine.host(process)
  }
  const host = agent()
  await host.recover()
  return {
    host,
    programs,
    async restart() {
      agents.at(-1)!.kill()
      return agent()
    },
    alive: machine.alive,
    settled: () => Promise.resolve(),
    async dispose() {
      running = false
    },
  }
})
