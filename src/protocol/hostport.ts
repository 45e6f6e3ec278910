/**
 * `host:port` as text: IPv6 addresses stand in brackets. Pure; which host to take is process/host-choice.ts.
 */

export function formatHostPort(host: string, port: number): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`
}
