package cli

import (
	"fmt"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

// Help is the long form of gesta completion --help.
func (completionCmd) Help() string {
	return `Examples:

    source <(gesta completion bash)
    gesta completion fish > ~/.config/fish/completions/gesta.fish`
}

func (c *completionCmd) Run(a *app) error {
	script := bashCompletion(a.parser.Model.Node)
	switch c.Shell {
	case "zsh":
		script = "autoload -U +X bashcompinit && bashcompinit\n" + script
	case "fish":
		script = fishCompletion(a.parser.Model.Node)
	}
	_, err := fmt.Fprint(a.Out, script)
	return err
}

// walk visits every command with the words that lead to it.
func walk(n *kong.Node, path []string, visit func(path []string, n *kong.Node)) {
	visit(path, n)
	for _, child := range n.Children {
		if !child.Hidden {
			walk(child, append(path[:len(path):len(path)], child.Name), visit)
		}
	}
}

// words are what may follow a command: its commands and its flags.
func words(n *kong.Node) (commands, flags []string) {
	for _, child := range n.Children {
		if !child.Hidden {
			commands = append(commands, child.Name)
		}
	}
	for _, f := range n.Flags {
		if !f.Hidden && f.Name != "help" {
			flags = append(flags, "--"+f.Name)
		}
	}
	return commands, append(flags, "--help")
}

// bashCompletion looks the command line's commands up in a list of cases; anything else is a file's name.
func bashCompletion(root *kong.Node) string {
	var cases strings.Builder
	walk(root, nil, func(path []string, n *kong.Node) {
		commands, flags := words(n)
		fmt.Fprintf(&cases, "    %q) words=%q ;;\n", strings.Join(path, " "), strings.Join(append(commands, flags...), " "))
	})
	return `_gesta() {
  local current=${COMP_WORDS[COMP_CWORD]} path="" words="" i next
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="${path:+$path }${COMP_WORDS[i]}"
    case "$next" in
    ` + paths(root) + `) path=$next ;;
    *) break ;;
    esac
  done
  case "$path" in
` + cases.String() + `  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _gesta gesta
`
}

func paths(root *kong.Node) string {
	var all []string
	walk(root, nil, func(path []string, _ *kong.Node) {
		if len(path) > 0 {
			all = append(all, fmt.Sprintf("%q", strings.Join(path, " ")))
		}
	})
	return strings.Join(all, "|")
}

func fishCompletion(root *kong.Node) string {
	var b strings.Builder
	walk(root, nil, func(path []string, n *kong.Node) {
		when := "__fish_use_subcommand"
		if len(path) > 0 {
			when = "__fish_seen_subcommand_from " + path[len(path)-1]
		}
		for _, child := range n.Children {
			fmt.Fprintf(&b, "complete -c gesta -n %s -f -a %s -d %s\n", fishWord(when), child.Name, fishWord(child.Help))
		}
		for _, f := range n.Flags {
			if !f.Hidden {
				fmt.Fprintf(&b, "complete -c gesta -n %s -l %s -d %s\n", fishWord(when), f.Name, fishWord(f.Help))
			}
		}
	})
	return b.String()
}

func fishWord(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
