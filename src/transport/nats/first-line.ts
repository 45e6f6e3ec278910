/**
 * The first line that is said at an address, before anybody is asked who they are, and before TLS: the client
 * library keeps it to itself when it fails.
 */
import { connect } from 'node:net'

export interface FirstLine {
  /** what a nats-server calls itself; null: none speaks there */
  serverName: string | null
  /** why it refuses everybody: `maximum connections exceeded`; null: it does not */
  refusal: string | null
}

const NOTHING: FirstLine = { serverName: null, refusal: null }
const LINE_BYTES_MAX = 64 * 1024

export function firstLineOf(host: string, port: number, timeoutMs: number): Promise<FirstLine> {
  return new Promise((resolve) => {
    const socket = connect({ host, port })
    let text = ''
    const end = (found: FirstLine): void => {
      socket.destroy()
      resolve(found)
    }
    socket.setTimeout(timeoutMs, () => end(NOTHING))
    socket.on('error', () => end(NOTHING))
    socket.on('close', () => end(NOTHING))
    socket.on('data', (chunk) => {
      text += chunk.toString('utf8')
      if (text.includes('\n') || text.length > LINE_BYTES_MAX) end(read(text.split('\n')[0]!.trim()))
    })
  })
}

function read(line: string): FirstLine {
  const refusal = /^-ERR '(.*)'$/i.exec(line)?.[1]
  if (refusal !== undefined) return { serverName: null, refusal }
  try {
    const info = JSON.parse(/^INFO (.*)$/i.exec(line)?.[1] ?? '') as { server_name?: string }
    return { serverName: info.server_name ?? '', refusal: null }
  } catch {
    return NOTHING
  }
}
