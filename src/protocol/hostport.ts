/**
 * `host:port` as text: IPv6 addresses stand in brackets. Pure; which host to take is process/host-choice.ts.
 */

export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}

/** @returns the parts, the host without brackets; null when the text is no `host:port` */
export function splitHostPort(text: string): { host: string; port: number } | null {
  const match = /^(?:\[([0-9A-Fa-f:.]+(?:%[^\]]+)?)\]|([^:[\]\s]+)):(\d{1,5})$/.exec(text)
  if (!match) return null
  const port = Number(match[3])
  return port > 65_535 ? null : { host: (match[1] ?? match[2])!, port }
}
