/** The words of `--env-from`: apart from what they do, so that no other command loads that. */
export const ENV_FROM = ['path', 'none', 'all'] as const
export type EnvFrom = (typeof ENV_FROM)[number]
