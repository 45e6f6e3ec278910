/**
 * The versions of nats-server: the lowest that Troupe runs on, and those without known security holes. The
 * numbers stand in versions.json, which set-up reads too. There, `secure` lists the first secure patch of a
 * minor release; the last one holds for all that comes after it.
 */
import versions from './versions.json' with { type: 'json' }

export type ServerVersion = readonly [major: number, minor: number, patch: number]

export const LOWEST: ServerVersion = parseVersion(versions.lowest)
const SECURE: readonly ServerVersion[] = versions.secure.map(parseVersion)

/** For people: `2.12.12 or a later 2.12, or 2.14.3 and above`. */
export const SECURE_TEXT = SECURE.map((floor, i) =>
  i === SECURE.length - 1
    ? `${floor.join('.')} and above`
    : `${floor.join('.')} or a later ${floor[0]}.${floor[1]}`,
).join(', or ')

/** @returns the numbers of `v2.15.2`, `2.12.0-RC.1`, …; zeros when the text holds none */
export function parseVersion(text: string): ServerVersion {
  const match = /(\d+)\.(\d+)\.(\d+)/.exec(text)
  return match ? [Number(match[1]), Number(match[2]), Number(match[3])] : [0, 0, 0]
}

export function atLeast(version: ServerVersion, wanted: ServerVersion): boolean {
  for (let i = 0; i < 3; i++) if (version[i] !== wanted[i]) return version[i]! > wanted[i]!
  return true
}

export function aboveSecurityFloor(version: ServerVersion): boolean {
  return SECURE.some(
    (floor, i) =>
      atLeast(version, floor) &&
      (i === SECURE.length - 1 || (version[0] === floor[0] && version[1] === floor[1])),
  )
}
