/**
 * Each exception from a rule of tidy.test.ts, with its reason. An entry that nothing needs any more fails the
 * test, so the table only shrinks. A key is the rule's word, the file and, where there is one, the name.
 */
/** Only tests import it: they look at the part itself and not through its callers. */
const TESTED_ITSELF = 'tests look at the part itself'
const ONE_SUITE = 'the clauses of one interface, over one set-up that each implementation gives'

export const EXCEPTIONS: Readonly<Record<string, string>> = {
  'long src/process/shim/shim.c': '`cc` builds the shim from one file, whose hash names the build',
  'long src/process/shim/shim.py': 'the twin of shim.c is one file, too',
  'long tests/contracts/bus.contract.ts': ONE_SUITE,
  'long tests/contracts/process-host.contract.ts': ONE_SUITE,
  'long tests/support/agent-harness.ts startAgentHarness': 'one object over private state',
  'long tests/support/fake-fleet.ts fakeFleet': 'one object over private state',
  'long tests/support/memory-bus/stream.ts memoryStream': 'one object over private state',
  'long tests/support/sim-host.ts': 'one object over private state',
  'long tests/support/sim-host.ts hostFor': 'one object over private state',
  'long tests/support/sim-host.ts simMachine': 'one object over private state',
  'long tests/support/sim-log-store.ts simLogStore': 'one object over private state',
  'long tests/support/sim-process.ts simProcess': 'one object over private state',
  'outside src/cli/docs.ts pages': TESTED_ITSELF,
  'outside src/cli/frame/status-line.ts HEARTBEAT_MS': TESTED_ITSELF,
  'outside src/core/coordinator/fold.ts emptyDurable': TESTED_ITSELF,
  'outside src/core/agent/last-words.ts LAST_WORDS_BYTES_MAX': TESTED_ITSELF,
  'outside src/process/capacity.ts cpuQuota': TESTED_ITSELF,
  'outside src/process/capacity.ts parseCpuList': TESTED_ITSELF,
  'outside src/process/last-words.ts lastLines': TESTED_ITSELF,
  'outside src/process/shim/build.ts pythonShim': TESTED_ITSELF,
  'outside src/protocol/launch/hash.ts canonicalJson': TESTED_ITSELF,
  'outside src/protocol/launch/units.ts DURATION_MS_MAX': TESTED_ITSELF,
  'outside src/protocol/order-headers.ts parseEpoch': TESTED_ITSELF,
  'outside src/protocol/pages.ts PAGE_COUNT_MAX': TESTED_ITSELF,
  'outside src/reference/docs.ts pages': TESTED_ITSELF,
  'outside src/reference/docs.ts parts': TESTED_ITSELF,
  'outside src/system/interfaces.ts parseRoutes': TESTED_ITSELF,
  'outside src/system/interfaces.ts parseRoutes6': TESTED_ITSELF,
  'outside src/system/paths.ts networkFileSystem': TESTED_ITSELF,
  'outside src/system/proc.ts parseStat': TESTED_ITSELF,
  'outside src/system/run.ts endTree': TESTED_ITSELF,
  'package commander': 'each command registers itself with it',
  'package yaml': 'the document is read in one place, its lines are found in another',
  'package zod': 'the schemas of the wire, of the launch document and of configuration are written in it',
}
