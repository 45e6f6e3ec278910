import { defineConfig } from 'vitest/config'

/**
 * Layers of tests, cheapest first. Real servers and process trees run one file at a time: two cores must not decide an outcome.
 */
const layer = (name: string, folders: string[], more: object = {}) => ({
  test: {
    name,
    include: folders.map((folder) => `tests/${folder}/**/*.test.ts`),
    exclude: ['tests/sim/mutants/**'],
    setupFiles: ['tests/support/leftovers.ts'],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    ...more,
  },
})

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      layer('unit', ['unit', 'golden', 'contracts']),
      layer('sim', ['sim'], { testTimeout: 400_000 }),
      layer('integration', ['integration'], { testTimeout: 90_000, hookTimeout: 120_000, maxWorkers: 1, fileParallelism: false }),
      layer('e2e', ['e2e'], { testTimeout: 180_000, hookTimeout: 180_000, maxWorkers: 1, fileParallelism: false }),
    ],
  },
})
