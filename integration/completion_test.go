package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// shells ask for what they would offer after the words of a line, of which the last is the one under the cursor.
var shells = map[string]string{
	"bash": `source <(ocidav completion bash)
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
_ocidav
printf '%s\n' "${COMPREPLY[@]}"`,
	"zsh": `compdef() { : }
compadd() { shift; print -l -- ${(M)@:#${words[CURRENT]}*} }
_files() { echo FILES }
source <(ocidav completion zsh)
words=("$@") CURRENT=$#
_ocidav || true`,
	"fish": `ocidav completion fish | source
complete -C (string join ' ' -- $argv)`,
}

// TestCompletion has the shells complete, by the scripts that the program prints and the hook that they call.
func TestCompletion(t *testing.T) {
	t.Parallel()
	program := ocidav(t)
	home := t.TempDir()
	env := environment(home, "PATH="+filepath.Dir(program)+string(filepath.ListSeparator)+os.Getenv("PATH"), "OCIDAV_CACHE_SIZE=lots") // which is bad
	for shell, script := range shells {
		t.Run(shell, func(t *testing.T) {
			path, err := exec.LookPath(shell)
			if err != nil {
				t.Skip(err)
			}
			for _, c := range []struct {
				line      string // a blank at its end begins a word
				has, lack string
			}{
				{"ocidav ", "serve gc health probe completion version", "--listen"},
				{"ocidav se", "serve", "gc"},
				{"ocidav serve --", "--listen --registry --config --read-only", "serve --dry-run"},
				{"ocidav serve --l", "--listen --layout --log-level", "--registry"},
				{"ocidav serve --read-only --re", "--registry", "--read-only"},
				{"ocidav serve --log-level ", "debug info warn error", "help --listen"},
				{"ocidav serve --log-level w", "warn", "debug"},
				{"ocidav serve --registry-profile git", "gitlab gitea", "ghcr"},
				{"ocidav gc --d", "--data --dry-run", "--listen"},
				{"ocidav completion ", "bash zsh fish", "help"},
				{"ocidav serve -- ", "", "serve help --listen"},
			} {
				args := []string{"-c", script}
				if shell != "fish" {
					args = append(args, shell)
				}
				cmd := exec.CommandContext(t.Context(), path, append(args, strings.Split(c.line, " ")...)...)
				cmd.Env, cmd.Dir = env, home
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Errorf("%q: %v\n%s", c.line, err, out)
				}
				var offers []string
				for line := range strings.Lines(string(out)) {
					offer, _, _ := strings.Cut(strings.TrimSpace(line), "\t") // fish adds a description
					offers = append(offers, offer)
				}
				for _, want := range strings.Fields(c.has) {
					if !slices.Contains(offers, want) {
						t.Errorf("%q does not offer %s:\n%s", c.line, want, out)
					}
				}
				for _, other := range strings.Fields(c.lack) {
					if slices.Contains(offers, other) {
						t.Errorf("%q offers %s:\n%s", c.line, other, out)
					}
				}
			}
		})
	}
}
