/**
 * `troupe stop REF`: the role's signal, its grace, then SIGKILL, in stop order; returns with the receipts.
 */
import { endCommand } from '../frame/end-command.ts'

export const command = endCommand(
  'stop',
  'stop a run, role or worker by its ladder, and prove that nothing is left',
)
