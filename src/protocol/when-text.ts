/** `2026-05-04 13:00:00 UTC`, for people. The reader may sit in another zone than the writer. */
export function whenText(at: number): string {
  return `${new Date(at).toISOString().slice(0, 19).replace('T', ' ')} UTC`
}
