/** The version that the build put in; from sources there is none. */
declare const __TROUPE_VERSION__: string | undefined

export const version: string = typeof __TROUPE_VERSION__ === 'string' ? __TROUPE_VERSION__ : '0.0.0-source'
