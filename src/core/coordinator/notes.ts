/** What a run's user may not have meant. One line at most: it is said once, not for each worker. Pure. */
import { allResources } from '../../protocol/launch/resolved.ts'
import type { Ctx, Run } from './types.ts'

/**
 * A worker that reserved no GPU sees none, whatever its node has: a training would go on by the CPU without a
 * word. Looks at one worker of each role.
 */
export function noteOf(ctx: Ctx, run: Run): string | null {
  for (const { spec, workers } of run.roles) {
    const [first] = workers
    const node = first?.record.node == null ? undefined : ctx.s.nodes.get(first.record.node)
    const gpus = node?.capacity?.gpus.length ?? 0
    if (gpus === 0 || allResources(spec).some((resources) => resources.gpus > 0)) continue
    if ([run.spec.env, spec.env].some((env) => env['CUDA_VISIBLE_DEVICES'] !== undefined)) continue
    return `${first!.id} has 0 of ${gpus} GPUs of ${node!.name} visible: add --gpus N (in a file: resources: { gpus: N })`
  }
  return null
}
