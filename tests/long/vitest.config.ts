import { defineConfig } from 'vitest/config'
import { layer } from '../../vitest.config.ts'

/** What takes longer than the gate may: `npm run long` runs it, and `npm test` does not. */
const { test } = layer('long', 0, ['long'], {
  testTimeout: 300_000,
  hookTimeout: 180_000,
  maxWorkers: 1,
  fileParallelism: false,
})
export default defineConfig({ test: { ...test, pool: 'forks' } })
