/**
 * How a failure is said: `troupe: message (CODE)`, every issue of a document with its line, a hint. Red on a
 * terminal alone.
 */
import type { Fault } from '../../protocol/faults.ts'
import type { Io } from '../frame/io.ts'

export async function renderFault(io: Io, fault: Fault): Promise<void> {
  if (io.json) return io.stderr(JSON.stringify(fault.toBody()), { always: true })
  const say = (line: string): void => io.stderr(line, { always: true })
  const { issues } = fault.data
  if (fault.code === 'SPEC_INVALID' && Array.isArray(issues) && issues.length > 0) {
    const { issueText } = await import('../../protocol/launch/yaml-lines.ts')
    const file = typeof fault.data['file'] === 'string' ? ` '${fault.data['file']}'` : ''
    say(
      io.paint(
        'red',
        `troupe: the launch document${file} is refused: ${issues.length} ${issues.length === 1 ? 'issue' : 'issues'}`,
        'stderr',
      ),
    )
    for (const issue of issues.slice(0, 50)) say(`  ${issueText(issue)}`)
    if (issues.length > 50) say(`  … and ${issues.length - 50} more`)
  } else say(io.paint('red', `troupe: ${fault.message} (${fault.code})`, 'stderr'))
  if (fault.hint !== undefined) say(`  ${fault.hint}`)
}
