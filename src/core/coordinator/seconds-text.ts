/** A duration for people, in reasons and explanations: `0.8 s`, `90 s`, `15 min`. */
export function secondsText(ms: number): string {
  return ms >= 120_000 ? `${Math.round(ms / 6000) / 10} min` : `${Math.round(ms / 100) / 10} s`
}
