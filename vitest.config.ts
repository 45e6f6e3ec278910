import { defineConfig } from 'vitest/config'

/**
 * Layers of tests, cheapest first. Real servers and process trees run one file at a time: two cores must not
 * decide an outcome.
 */
export function layer(name: string, groupOrder: number, folders: string[], more: object = {}) {
  return {
    test: {
      name,
      include: folders.map((folder) => `tests/${folder}/**/*.test.ts`),
      exclude: ['tests/sim/mutants/**'],
      // one layer after the other
      sequence: { groupOrder },
      setupFiles: ['tests/support/leftovers.ts'],
      testTimeout: 30_000,
      hookTimeout: 60_000,
      ...more,
    },
  }
}

export default defineConfig({
  test: {
    pool: 'forks',
    maxWorkers: 2,
    projects: [
      layer('unit', 0, ['unit', 'golden']),
      layer('contracts', 1, ['contracts']),
      layer('sim', 2, ['sim'], { testTimeout: 400_000 }),
      layer('integration', 3, ['integration'], {
        testTimeout: 90_000,
        hookTimeout: 120_000,
        maxWorkers: 1,
        fileParallelism: false,
      }),
      layer('e2e', 4, ['e2e'], {
        testTimeout: 180_000,
        hookTimeout: 180_000,
        maxWorkers: 1,
        fileParallelism: false,
      }),
    ],
  },
})
