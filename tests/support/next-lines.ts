/**
 * Every command that the program prints as what to type, and with which words a test types it. `…` is put in
 * by the program, a word in capitals is to be put in by the reader. A new one gets its row here:
 * unit/cli/next-lines compares, integration/next-lines types.
 */

/** Words for `…` and for capitals, in order: `$live` and `$ended` are runs, `$file` is a document. */
export interface Typed {
  words?: readonly (readonly string[])[]
  /** it stays until it is told to leave, and has begun when it has said this */
  stays?: RegExp
}

export const TYPED: Readonly<Record<string, Typed>> = {
  'troupe --help': {},
  'troupe ps': {},
  'troupe ps --all': {},
  'troupe nodes': {},
  'troupe run -- hostname': {},
  'troupe run -- COMMAND': { words: [['true']] },
  'troupe … -f FILE': {
    words: [
      ['run', '$file'],
      ['launch', '$file'],
    ],
  },
  'troupe … -- COMMAND': {
    words: [
      ['run', 'true'],
      ['launch', 'true'],
    ],
  },
  'troupe launch -f …': { words: [['$file']] },
  'troupe launch --key … -f FILE': { words: [['a-key', '$file']] },
  'troupe status …': { words: [['$live'], ['$ended']] },
  'troupe events …': { words: [['$live']] },
  'troupe explain …': { words: [['$live'], ['$ended']] },
  'troupe explain …/…': { words: [['$live', 'main']] },
  'troupe logs …': { words: [['$ended/main/0']] },
  'troupe logs -f …': { words: [['$ended']] },
  'troupe logs -f RUN --out DIR': { words: [['$ended', '$dir']] },
  'troupe logs … --attempt …': { words: [['$ended/main/0', '1']] },
  'troupe logs …… --tail 50': { words: [['$ended/main/0', '']] },
  'troupe … …': {
    words: [
      ['logs -f', '$ended'],
      ['logs', '$ended'],
      ['status', '$ended'],
      ['explain', '$ended'],
      ['wait', '$ended'],
      ['stop', '$live'],
    ],
  },
  'troupe … … --force': { words: [['kill', '$live']] },
  'troupe wait …': { words: [['$ended']] },
  'troupe stop … --force': { words: [['$live']] },
  'troupe nodes adopt …': { words: [['n0']] },
  'troupe nodes drain … --off': { words: [['n0']] },
  'troupe up……': {
    words: [
      ['', ' --detach'],
      [' --agents 2', ' --detach'],
    ],
  },
  'troupe agent --node …': { words: [['gpu7']], stays: /"msg":"(ready|started|connected)/ },
  'troupe agent --node NAME': { words: [['gpu8']], stays: /"msg":"(ready|started|connected)/ },
  'troupe completion bash': {},
  'troupe completion zsh': {},
  'troupe completion fish | source': { words: [] },
  'troupe up': { stays: /was up before/ },
  'troupe down': {},
}

/** What only looks like one, or is typed elsewhere. */
export const NOT_TYPED: Readonly<Record<string, string>> = {
  'npm start': 'e2e/npm-start',
  'troupe user add NAME -o FILE': 'integration/credentials',
  'troupe user add … --replace -o FILE': 'integration/credentials',
  'troupe user add ……': 'integration/credentials',
  'troupe user revoke …': 'integration/credentials',
  'troupe user revoke KEY': 'unit/cli/user',
  'troupe down --keep-workers': 'integration/tls',
  'troupe up --listen-name NAME': 'integration/tls',
  'troupe context show': 'integration/tls',
  'troupe context add …': 'integration/credentials',
  'troupe context use …': 'unit/cli/contexts',
  'troupe context export': 'integration/credentials',
  'troupe context export -o FILE': 'integration/credentials',
  'troupe keys rotate signing --now --yes': 'integration/keys',
  'troupe keys rotate signing --yes': 'integration/keys',
  'troupe keys rotate ca': 'integration/tls',
  'troupe keys rotate ca --now --yes': 'integration/tls',
  'troupe keys rotate …… --yes': 'unit/cli/keys, integration/keys',
  'troupe nodes invite': 'unit/cli/invite',
  'troupe nodes invite …': 'unit/cli/invite',
  'troupe nodes invite NAME -o FILE': 'unit/cli/invite',
  'troupe … -o FILE': 'unit/cli/invite, integration/credentials',
  'troupe agent --credential …': 'integration/joined',
  'troupe tenants add FLEET': 'integration/tenants',
  'troupe tenants add …': 'integration/tenants',
  'troupe tenants add': 'integration/tenants',
  'troupe tenants list': 'integration/tenants',
  'troupe up --bus …': 'integration/tenants',
  'troupe context add FILE': 'integration/credentials',
  'troupe context list': 'unit/cli/contexts',
  'troupe nodes --json': 'integration/fleet-up',
  'npm run build': 'a clone of the sources alone can say so',
  'troupe up --bus FILE': 'it needs the keys of a fleet on another bus',
  'troupe agent --credential FILE': 'it needs a credential of a node',
  'troupe up --listen ADDR': 'it needs an address of this machine that others reach',
  'npm start -- --keep': 'e2e/npm-start',
  'bin/troupe up --agents 2 --detach': 'e2e/npm-start',
  'bin/troupe run -f examples/two-node-ddp.yaml': 'e2e/npm-start',
  'bin/troupe down': 'e2e/npm-start',
  'troupe signal … TERM --force': 'e2e/ranks: it is about a rank',
  'troupe logs … --rank … --tail 50': 'e2e/ranks: it is about a rank',
  'troupe nodes adopt NODE': 'the page of errors; typed with a name above',
  'troupe client …': 'the name of a connection',
  'troupe itself': 'a sentence',
  'troupe up started them': 'a sentence',
  'troupe completion for bash: source <(troupe completion bash': 'a comment of the script; typed above',
  'troupe completion for zsh: source <(troupe completion zsh': 'a comment of the script; typed above',
  'troupe completion for fish: troupe completion fish | source': 'a comment of the script; typed above',
  'troupe … (pid …': 'who holds the lock',
}
