/**
 * The backend `local`: agents on this machine, which `troupe up` starts; several make a pretend cluster. To a
 * launch they are nodes on the bus.
 */
import { sharedBackend } from './join.ts'
import type { Backend } from './backend.ts'

export function localBackend(): Backend {
  return sharedBackend('local', 'uses the agents on this machine, as troupe up started them')
}
