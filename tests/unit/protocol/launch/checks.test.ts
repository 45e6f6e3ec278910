import { describe, expect, test } from 'vitest'
import type { Fault } from '../../../../src/protocol/faults.ts'
import { issueText, resolveLaunch } from '../../../../src/protocol/launch/document.ts'
import { head, issuesOf, launchOf, refusal, task } from '../../../support/launch-text.ts'

function manyRoles(count: number, role: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Array.from({ length: count }, (_, i) => [`r${i}`, { command: ['x'], ...role }]))
}
function messageOf(document: Record<string, unknown>): string {
  try {
    resolveLaunch(document)
  } catch (error) {
    return (error as Fault).message
  }
  return 'resolved'
}

describe('bounds of a launch: refused with both numbers, and what is within them is resolved', () => {
  test('workers of a run, whichever way they are written', () => {
    expect(messageOf(launchOf(manyRoles(2, { replicas: 10_000 })))).toBe('resolved')
    expect(messageOf(launchOf({ a: { command: ['x'], replicas: 20_000 } }))).toBe('resolved')
    expect(messageOf(launchOf(manyRoles(11, { replicas: 10_000 })))).toBe(
      '110000 workers in 11 roles; a run has at most 20000 at roles',
    )
    expect(
      messageOf(
        launchOf({
          ...manyRoles(1, { replicas: 10_001 }),
          t: { kind: 'torchrun', shape: '10000x1', command: ['x'] },
        }),
      ),
    ).toBe('20001 workers in 2 roles; a run has at most 20000 at roles')
  })

  test('bytes of the resolved form: each role has 100 kB of its own, or all share them', () => {
    const env = { BIG: 'x'.repeat(100_000) }
    expect(messageOf(launchOf(manyRoles(50, {}), { env }))).toBe('resolved')
    expect(messageOf(launchOf(manyRoles(50, { env })))).toMatch(
      /^the launch has 50\d{5} bytes with its defaults filled in; at most 2097152/,
    )
    expect(messageOf(launchOf(manyRoles(100, {}), { setup: 'x'.repeat(100_000) }))).toMatch(
      /^the launch has 10\d{6} bytes/,
    )
  })

  test('conditions between roles', () => {
    const dependsOn = Object.fromEntries(Array.from({ length: 100 }, (_, i) => [`r${i}`, 'started']))
    const roles = (waiting: number) => ({
      ...manyRoles(100, {}),
      ...Object.fromEntries(
        Array.from({ length: waiting }, (_, i) => [`w${i}`, { command: ['x'], dependsOn }]),
      ),
    })
    expect(messageOf(launchOf(roles(50)))).toBe('resolved')
    expect(messageOf(launchOf(roles(51)))).toBe('5100 conditions in dependsOn; at most 5000 at roles')
  })

  test('a name of megabytes is refused in a few words', () => {
    expect(messageOf(launchOf({ ['x'.repeat(1_000_000)]: { command: ['x'] } })).length).toBeLessThan(3000)
  })
})

describe('what is refused says what, where and what was meant [A-18]', () => {
  const cases: [string, string, string][] = [
    [
      'an unknown key',
      task('commnad: [y]'),
      "unknown key 'commnad' at roles.a (line 6); did you mean 'command'?",
    ],
    [
      'an unknown key inside',
      task('resources:\n  gpu: 1'),
      "unknown key 'gpu' at roles.a.resources (line 7); did you mean 'gpus'?",
    ],
    [
      'an unknown key at the top',
      `rolse: {}\n${task('cwd: /x')}`,
      "unknown key 'rolse' at (line 1); did you mean 'roles'?".replace(' at (', ' ('),
    ],
    [
      'a wrong unit',
      task('stop: { grace: 10 minutes }'),
      "'10 minutes' is no duration; write 250ms, 90s, 1h30m, 4:00:00 or 2d at roles.a.stop.grace (line 6)",
    ],
    [
      'a bare number',
      task('stop: { grace: 30 }'),
      "'30' is no duration; write 250ms, 90s, 1h30m, 4:00:00 or 2d at roles.a.stop.grace (line 6)",
    ],
    [
      'a wrong size',
      task('resources: { memory: 16G }'),
      "'16G' is no size; write 16GB, 16GiB or 500MB at roles.a.resources.memory (line 6)",
    ],
    [
      'a wrong shape',
      task('kind: torchrun\nshape: 2*8'),
      "'2*8' is no shape; write 2x8 (nodes x processes per node) or 1:2x8 (elastic) at roles.a.shape (line 7)",
    ],
    [
      'another version',
      'apiVersion: troupe/v2\nname: x\njobs: []\n',
      'apiVersion is "troupe/v2"; this is troupe/v1 at apiVersion (line 1)',
    ],
    [
      'no version',
      'name: x\nroles: { a: { command: [x] } }',
      'apiVersion is missing; this is troupe/v1 at apiVersion',
    ],
    [
      'an unknown dependency',
      `${head}roles:\n  trainer: { command: [x] }\n  b: { command: [x], dependsOn: { trianer: ready } }`,
      "no role 'trianer' at roles.b.dependsOn (line 5); did you mean 'trainer'?",
    ],
    [
      'an unknown stopWhen',
      task('replicas: 1', 'stopWhen: b.done\n'),
      "no role 'b' at stopWhen (line 7); did you mean 'a'?",
    ],
    [
      'a stopWhen of another form',
      task('replicas: 1', 'stopWhen: a.failed\n'),
      "'a.failed' is no condition; write ROLE.done at stopWhen (line 7)",
    ],
    [
      'a template of an unknown role',
      task('env: { A: "${{ roles.aa.addr }}" }'),
      "no role 'aa' at roles.a.env.A (line 6); did you mean 'a'?",
    ],
    [
      'an unknown template',
      task('env: { A: "${{ prot.0 }}" }'),
      "unknown template '${{ prot.0 }}'; did you mean '${{ port.0 }}'? at roles.a.env.A (line 6)",
    ],
    [
      'a template without end',
      task('env: { A: "${{ port.0" }'),
      "'${{' is never closed by '}}' (write '$${{' for the characters themselves) at roles.a.env.A (line 6)",
    ],
    [
      'a wrong word',
      task('kind: servcie'),
      "'servcie' is none of task, service, torchrun at roles.a.kind (line 6); did you mean 'service'?",
    ],
    [
      'a wrong restart word',
      task('restart: on-fail'),
      "'on-fail' is none of never, on-failure, always at roles.a.restart (line 6)",
    ],
    [
      'a command that is a string',
      `${head}roles:\n  a:\n    command: python train.py\n`,
      "the command is a list, such as [python, train.py]; for a line of shell add 'shell: true' at roles.a.command (line 5)",
    ],
    [
      'no command',
      `${head}roles:\n  a:\n    kind: task\n`,
      "the key 'command' is missing at roles.a (line 4)",
    ],
    [
      'an empty command',
      `${head}roles: { a: { command: [] } }`,
      'needs at least the program at roles.a.command (line 3)',
    ],
    [
      'shell with a list',
      task('shell: true').replace('[x]', '[x, y]'),
      "with 'shell: true' the command is one string, not a list of 2 at roles.a.command (line 5)",
    ],
    [
      'a role that is no token',
      `${head}roles:\n  a/b: { command: [x] }`,
      "'a/b' is no name: names match [A-Za-z0-9][A-Za-z0-9_-]{0,39} at roles (line 4)",
    ],
    [
      'a launch name that is too long',
      `apiVersion: troupe/v1\nname: ${'x'.repeat(28)}\nroles: { a: { command: [x] } }`,
      `'${'x'.repeat(28)}' is too long: a launch's name has at most 27 characters at name (line 2)`,
    ],
    [
      'replicas against the shape',
      task('kind: torchrun\nshape: 2x2\nreplicas: 3'),
      'replicas is 3, but the shape has 2 nodes at roles.a.replicas (line 8)',
    ],
    [
      'torchrun without a shape',
      task('kind: torchrun'),
      "kind torchrun needs a shape, such as '2x8' (nodes x processes per node) at roles.a (line 6)",
    ],
    [
      'a shape on a task',
      task('shape: 2x2'),
      'a shape is for kind torchrun; this is task: use replicas at roles.a.shape (line 6)',
    ],
    [
      'fewer GPUs than processes',
      task('kind: torchrun\nshape: 2x8\nresources: { gpus: 4 }'),
      '8 processes per node would share 4 GPUs; lower the shape, or say share: true at roles.a.resources (line 8)',
    ],
    [
      'a port template beyond the ports',
      task('resources: { ports: 2 }\nenv: { P: "${{ port.3 }}" }'),
      "'${{ port.3 }}': port 3 is beyond the leased ports: resources.ports is 2, so 0 to 1 at roles.a.env.P (line 7)",
    ],
    [
      'a probe port beyond the ports',
      task('resources: { ports: 1 }\nready: { http: { port: 8000 } }'),
      'port index 8000 is beyond the leased ports: resources.ports is 1, so 0 to 0 at roles.a.ready.http.port (line 7)',
    ],
    [
      'two probes at once',
      task('ready: { log: x, exec: [y] }'),
      'a probe is one of http, tcp, exec, log; given are exec, log at roles.a.ready (line 6)',
    ],
    ['a bad pattern', task('ready: { log: "(a" }'), "'(a' is no regular expression (RE2)"],
    [
      'an address that is not waited for',
      `${head}roles:\n  a: { command: [x], resources: { ports: 1 } }\n  b: { command: ["\${{ roles.a.addr }}"] }`,
      "role 'b' asks for the address of 'a' without waiting for it; add dependsOn: { a: { condition: ready } } at roles.b.command[0] (line 5)",
    ],
    [
      'the address of a role without ports',
      task('env: { A: "${{ roles.a.addr }}" }'),
      "role 'a' has no address: it leases no port; give it resources: { ports: 1 } at roles.a.env.A (line 6)",
    ],
    [
      'a service that should be done',
      `${head}roles:\n  s: { kind: service, command: [x] }\n  b: { command: [x], dependsOn: { s: done } }`,
      "'s' is a service, which is never done: wait for started or ready at roles.b.dependsOn.s (line 5)",
    ],
    [
      'a relative directory',
      task('cwd: here'),
      "cwd 'here' is not absolute (the command line makes it so; on the bus it must be) at roles.a.cwd (line 6)",
    ],
    [
      'an environment value that is null',
      task('env: { A: }'),
      'null is no text or number or true or false at roles.a.env.A (line 6)',
    ],
    [
      'an environment name with =',
      task('env: { "A=B": c }'),
      "'A=B' is no name of an environment variable at roles.a.env (line 6)",
    ],
    [
      'a variable of ours',
      task('env: { TROUPE_FORK_ID: c }'),
      'TROUPE_FORK_ID is set by Troupe for every worker at roles.a.env.TROUPE_FORK_ID (line 6)',
    ],
    [
      'an unknown signal',
      task('stop: { signal: TREM }'),
      "'TREM' is no signal; write TERM, INT, USR1… at roles.a.stop.signal (line 6)",
    ],
    [
      'a node both wanted and excluded',
      task('nodelist: [n0]\nexclude: [n0]'),
      "node 'n0' is in nodelist and in exclude at roles.a.exclude (line 7)",
    ],
    ['no roles', `${head}roles: {}`, 'a launch needs at least one role at roles (line 3)'],
    ['replicas of text', task('replicas: "2"'), "'2' is no number at roles.a.replicas (line 6)"],
    ['no replicas', task('replicas: 0'), '0 is too small; at least 1 at roles.a.replicas (line 6)'],
    [
      'a CIDR of no address',
      task('network: { cidr: "fd00:::/8" }'),
      "'fd00:::/8' is no CIDR block; write 10.0.0.0/8 or fd00::/8 at roles.a.network.cidr (line 6)",
    ],
    [
      'backoff the wrong way round',
      task('restart: { policy: always, backoff: [30s, 1s] }'),
      'the first wait (30000 ms) is longer than the longest (1000 ms) at roles.a.restart.backoff (line 6)',
    ],
  ]
  test.each(cases)('%s [A-36]', (_, text, message) => {
    const fault = refusal(text)
    expect(fault.code).toBe('SPEC_INVALID')
    expect(fault.exitCode).toBe(2)
    expect(fault.message).toContain(message)
    expect(issueText(issuesOf(fault)[0]!)).toBe(fault.message)
  })

  test('roles wait for each other: the cycle is printed', () => {
    const fault = refusal(
      `${head}roles:\n  a: { command: [x], dependsOn: { b: ready } }\n  b: { command: [x], dependsOn: { c: started } }\n` +
        '  c: { command: [x], dependsOn: { b: done } }\n',
    )
    expect(fault.message).toBe('roles wait for each other: b -> c -> b at roles.b.dependsOn (line 5)')
    expect(
      refusal(
        `${head}roles:\n  a: { command: [x], dependsOn: { b: ready } }\n  b: { command: [x], dependsOn: { a: ready } }\n`,
      ).message,
    ).toContain('a -> b -> a')
    expect(refusal(task('dependsOn: { a: ready }')).message).toContain('a -> a')
  })
})
