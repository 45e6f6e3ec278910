/** `troupe kill REF`: the same with grace 0. */
import { endCommand } from '../frame/end-command.ts'

export const command = endCommand(
  'kill',
  'kill a run, role or worker at once, and prove that nothing is left',
)
