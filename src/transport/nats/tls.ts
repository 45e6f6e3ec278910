/**
 * TLS to the bus: what a connection asks for, and in which words it is refused. A credential pins the
 * authority of its bus; a url of `tls://` asks for TLS with whatever authorities this machine trusts.
 */
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import { Fault } from '../../protocol/faults.ts'
import { hostOf } from './trouble.ts'

export interface TlsOptions {
  /** PEM; none: what this machine trusts */
  ca?: string
  checkServerIdentity(host: string, certificate: PeerCertificate): Error | undefined
}

/** @returns null: plain text, or TLS when the server asks for it */
export function tlsOf(servers: readonly string[], ca: () => string | undefined): TlsOptions | null {
  if (ca() === undefined && !servers.some((url) => url.startsWith('tls://'))) return null
  const hosts = servers.map((url) => hostOf(url)?.host ?? '')
  return {
    /** The library asks at each try: a renewed credential may pin another one. */
    get ca() {
      return ca()
    },
    /** The library gives no name for an address, and Node then takes it for `localhost`. */
    checkServerIdentity(host, certificate) {
      const meant = host === 'localhost' && !hosts.includes(host) ? hosts : [host]
      const errors = meant.map((name) => checkServerIdentity(name, certificate))
      return errors.some((error) => error === undefined) ? undefined : errors[0]
    },
  }
}

const ANOTHER_AUTHORITY = new Set([
  'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
  'UNABLE_TO_GET_ISSUER_CERT',
  'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
  'SELF_SIGNED_CERT_IN_CHAIN',
  'DEPTH_ZERO_SELF_SIGNED_CERT',
  'CERT_SIGNATURE_FAILURE',
  'CERT_UNTRUSTED',
  'INVALID_CA',
  'INVALID_PURPOSE',
])

/**
 * @param error  of a connection that was not made
 * @param where  the servers, for people
 * @returns null when TLS was not the reason. `data.reason` is `authority`, `expired`, `not-yet-valid`,
 * `name`, `no-tls` or `handshake`
 */
export function tlsFault(error: unknown, where: string, ca: string | undefined): Fault | null {
  const refused = reasonOf(error, ca)
  if (refused === null) return null
  return new Fault('CONN', `the bus at ${where} ${refused.text}`, {
    data: { address: where, reason: refused.reason },
    hint: refused.hint,
    // asking again does not change a certificate
    retryable: false,
    cause: error,
  })
}

interface Refused {
  reason: 'authority' | 'expired' | 'not-yet-valid' | 'name' | 'no-tls' | 'handshake'
  text: string
  hint: string
}

/** An error of Node's, or of the library's. */
interface TlsError {
  code?: string
  message?: string
  cert?: PeerCertificate
  /** what the library's own error is made of */
  chainedError?: TlsError
}

/** All other codes of TLS. */
const HANDSHAKE = /^(TLS$|ERR_SSL|ERR_TLS|EPROTO|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO_)/

function reasonOf(error: unknown, ca: string | undefined): Refused | null {
  const told = (error ?? {}) as TlsError
  if (told.code === 'TLS' && told.chainedError?.code !== undefined) return reasonOf(told.chainedError, ca)
  const { code = '', message = '', cert } = told
  if (ANOTHER_AUTHORITY.has(code))
    return ca === undefined
      ? {
          reason: 'authority',
          text: 'has a certificate of an authority that neither this credential nor this machine knows',
          hint: 'take a credential that was made since that bus listens with TLS',
        }
      : {
          reason: 'authority',
          text: 'is not the bus of this credential: its certificate is of another authority',
          hint: 'somebody may be in between. If its authority was made anew: take a new credential',
        }
  if (code === 'CERT_HAS_EXPIRED')
    return {
      reason: 'expired',
      text: 'has a certificate that expired',
      hint: 'on its machine, which renews it: troupe up; or is the clock here ahead?',
    }
  if (code === 'CERT_NOT_YET_VALID')
    return {
      reason: 'not-yet-valid',
      text: 'has a certificate that is not valid yet',
      hint: 'is the clock of this machine behind?',
    }
  if (code === 'ERR_TLS_CERT_ALTNAME_INVALID')
    return {
      reason: 'name',
      text: `has a certificate for other names (${cert?.subjectaltname ?? 'none'})`,
      hint: 'use one of these, or on its machine add the name: troupe up --listen-name NAME',
    }
  if (code === 'SERVER_OPT_NA' || /wrong.version.number/i.test(code + message))
    return {
      reason: 'no-tls',
      text: 'speaks no TLS, and this credential asks for it',
      hint: 'is that another server’s port? Its address is said by: troupe context show',
    }
  if (HANDSHAKE.test(code) || /TLS Required/.test(message))
    return {
      reason: 'handshake',
      text: `refuses TLS, or its certificate is refused (${message})`,
      hint: 'its side of it is in its log on its machine',
    }
  return null
}
