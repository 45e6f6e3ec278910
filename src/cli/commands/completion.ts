/**
 * `troupe completion bash|zsh|fish`: a script for the shell. It asks `troupe __complete` each time, so it
 * never grows old.
 */
import { Fault } from '../../protocol/faults.ts'
import { nearest } from '../../protocol/names.ts'
import { verb, type CliCommand } from '../frame/command.ts'

const SCRIPTS: Readonly<Record<string, string>> = {
  bash: `# troupe completion for bash: source <(troupe completion bash)
_troupe() {
  local IFS=$'\\n'
  local words=("\${COMP_WORDS[@]:1:COMP_CWORD}")
  COMPREPLY=($(troupe __complete -- "\${words[@]}" 2>/dev/null))
  [[ \${#COMPREPLY[@]} -eq 0 ]] && compopt -o default 2>/dev/null
}
COMP_WORDBREAKS=\${COMP_WORDBREAKS//:/}
complete -F _troupe troupe
`,
  zsh: `#compdef troupe
# troupe completion for zsh: source <(troupe completion zsh)
_troupe() {
  local -a found
  found=("\${(@f)$(troupe __complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "$found" ]]; then compadd -a found; else _files; fi
}
compdef _troupe troupe
`,
  fish: `# troupe completion for fish: troupe completion fish | source
function __troupe_complete
  set -l words (commandline -opc) (commandline -ct)
  set -l found (troupe __complete -- $words[2..] 2>/dev/null)
  if test (count $found) -gt 0
    printf '%s\\n' $found
  else
    __fish_complete_path (commandline -ct)
  end
end
complete -c troupe -f -a '(__troupe_complete)'
`,
}

export const command: CliCommand = {
  name: 'completion',
  summary: 'print a completion script for bash, zsh or fish',
  register(program, io) {
    verb(program, 'completion <shell>', this.summary).action((shell: string) => {
      const script = SCRIPTS[shell]
      if (script === undefined) {
        const near = nearest(shell, Object.keys(SCRIPTS))
        throw new Fault(
          'USAGE',
          `there is no completion for '${shell}'${near === null ? '' : `; did you mean '${near}'?`}`,
          { hint: `there is one for ${Object.keys(SCRIPTS).join(', ')}` },
        )
      }
      if (io.json) io.printJson({ shell, script })
      else io.stdout(script)
    })
  },
}
