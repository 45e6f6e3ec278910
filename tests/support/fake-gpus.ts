/**
 * A program named nvidia-smi with recorded answers, whose devices are of this test alone: GPUs are leased
 * once on a machine, and what runs beside us may replay the same answers.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/**
 * @param folder  of tests/support/nvidia-smi
 * @returns       directory to put in front of PATH
 */
export function fakeGpus(folder: string, directory: string): string {
  const bin = join(directory, `gpus-${folder}`)
  mkdirSync(bin, { recursive: true })
  const replay = fileURLToPath(new URL(`nvidia-smi/${folder}/nvidia-smi`, import.meta.url))
  // the first eight digits are told apart by the rest of the UUID
  writeFileSync(
    join(bin, 'nvidia-smi'),
    [
      '#!/bin/sh',
      `out=$('${replay}' "$@"); code=$?`,
      `ours='s/UUID: (GPU|MIG)-[0-9a-f]{8}/UUID: \\1-${randomBytes(4).toString('hex')}/'`,
      `[ -z "$out" ] || printf '%s\\n' "$out" | sed -E "$ours"`,
      'exit $code\n',
    ].join('\n'),
  )
  chmodSync(join(bin, 'nvidia-smi'), 0o755)
  return bin
}
