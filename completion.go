package main

import (
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"ocidav/davfs"
	"ocidav/ocifs"
)

// completions are scripts that ask the program itself, by the library's hook --generate-bash-completion as the last
// argument. They are ours, for the library's give its words to eval, need the package bash-completion, and take "--",
// which is how a flag begins, for the end of all flags: it is asked as "-", which lists the same.
var completions = map[string]string{
	"bash": `# For one session: source <(ocidav completion bash)
# For all: ocidav completion bash > ~/.local/share/bash-completion/completions/ocidav
_ocidav() {
	local cur=${COMP_WORDS[COMP_CWORD]} word
	local words=("${COMP_WORDS[@]:0:COMP_CWORD}")
	for word in "${words[@]}"; do
		[[ $word != -- ]] || return
	done
	case $cur in
	--) words+=(-) ;;
	-*) words+=("$cur") ;;
	esac
	words[0]=${words[0]/#\~/$HOME}
	COMPREPLY=($(compgen -W "$("${words[@]}" --generate-bash-completion 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _ocidav ocidav
`,
	"zsh": `#compdef ocidav
# For one session: source <(ocidav completion zsh)
# For all: ocidav completion zsh > DIR/_ocidav, where DIR is in $fpath
_ocidav() {
	local cur=${words[CURRENT]}
	local -a asked found
	asked=("${(@Q)words[1,CURRENT-1]}")
	(( ! ${asked[(Ie)--]} )) || return
	asked[1]=${asked[1]/#\~/$HOME}
	case $cur in
	--) asked+=(-) ;;
	-*) asked+=("$cur") ;;
	esac
	found=(${(f)"$("${asked[@]}" --generate-bash-completion 2>/dev/null)"})
	if (( $#found )); then
		compadd -- $found
	else
		_files
	fi
}
if [ "$funcstack[1]" = _ocidav ]; then
	_ocidav
else
	compdef _ocidav ocidav
fi
`,
	"fish": `# For one session: ocidav completion fish | source
# For all: ocidav completion fish > ~/.config/fish/completions/ocidav.fish
function __ocidav_complete
	set -l words (commandline -opc)
	set -l cur (commandline -ct)
	contains -- -- $words; and return
	switch "$cur"
		case --
			set -a words -
		case '-*'
			set -a words $cur
	end
	command $words --generate-bash-completion 2>/dev/null
end
complete -c ocidav -a '(__ocidav_complete)'
`,
}

func completionCommand(stdout io.Writer) *cli.Command {
	return &cli.Command{
		Name: "completion", Usage: "print a script by which a shell completes commands and flags", ArgsUsage: "bash|zsh|fish",
		Description: "Its first lines say where it goes.",
		Action: func(c *cli.Context) error {
			script, ok := completions[c.Args().First()]
			if !ok || c.NArg() != 1 {
				return usage("completion takes one shell, bash, zsh or fish")
			}
			_, err := io.WriteString(stdout, script)
			return err
		},
		BashComplete: func(c *cli.Context) { fmt.Fprint(stdout, "bash\nzsh\nfish\n") },
	}
}

// flagValues are the words that a flag takes.
var flagValues = map[string][]string{
	"auth":             {"none", "htpasswd", "registry", "proxy"},
	"junk":             {string(davfs.JunkMemory), string(davfs.JunkStore), string(davfs.JunkReject)},
	"layout":           {ocifs.LayoutPath, ocifs.LayoutFlat},
	"log-format":       {"text", "json"},
	"log-level":        {"debug", "info", "warn", "error"},
	"registry-profile": ocifs.Presets(),
	"upload":           {ocifs.UploadAuto, ocifs.UploadStream, ocifs.UploadMonolithic},
}

// completing adds to the library's hook the words of the flag before the cursor. Where the hook says nothing, shells
// look for files.
func completing(cmd *cli.Command) *cli.Command {
	flags := cli.DefaultCompleteWithFlags(cmd)
	cmd.BashComplete = func(c *cli.Context) {
		last := os.Args[max(0, len(os.Args)-2)] // where the library looks too
		if !strings.HasPrefix(last, "-") {
			return
		}
		if values, ok := flagValues[strings.TrimLeft(last, "-")]; ok {
			fmt.Fprintln(c.App.Writer, strings.Join(values, "\n"))
			return
		}
		flags(c)
	}
	return cmd
}

// forgetVariables is for a run that only completes: the library's hook panics where a variable has a bad value.
func forgetVariables(args []string) {
	if args[len(args)-1] != "--generate-bash-completion" {
		return
	}
	for _, f := range append(serveFlags(), configFlag()) {
		os.Unsetenv(env(f.Names()[0])[0])
	}
}
