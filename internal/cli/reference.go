package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/gesta-db/gesta/internal/errs"
	"github.com/gesta-db/gesta/internal/node"
)

// Reference is docs/reference/cli.md: every command, argument and flag, made from the grammar that the parser uses.
func Reference() (string, error) {
	var grammar commands
	grammar.Serve.Plugins = serveFlags()
	parser, err := kong.New(&grammar, kong.Name("gesta"), groups, kong.Bind(&app{}))
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(referenceHead)
	exitCodes(&b)
	walk(parser.Model.Node, nil, func(path []string, n *kong.Node) {
		if len(path) > 0 {
			commandSection(&b, path, n)
		}
	})
	return strings.TrimSpace(b.String()) + "\n", nil
}

const referenceHead = `<!-- Made from the code by ` + "`go generate ./internal/cli`" + `; do not edit. -->

# The command line

` + "`gesta --help`" + ` and ` + "`gesta COMMAND --help`" + ` say the same as this page. Data goes to standard output, everything else to standard error. A
flag's value follows after a space or an equals sign. Names of streams are written ` + "`topic/key`" + `: what follows the first slash is the key.

## Flags of many commands

| flag | what |
|---|---|
`

// shared are the flags that stand once at the head of the page instead of in each command.
var shared = []string{"addr", "tls", "tls-ca", "timeout", "output"}

// exitCodes ends the head with the shared flags, and lists the exit codes of the error table.
func exitCodes(b *strings.Builder) {
	var flags struct {
		Remote remote `embed:""`
		Output output `embed:""`
	}
	parser := kong.Must(&flags)
	for _, f := range parser.Model.Flags {
		if f.Name != "help" {
			flagRow(b, f)
		}
	}
	b.WriteString("\n## Exit codes\n\n| exit | error codes |\n|---|---|\n| 0 | none: it worked |\n")
	byExit := map[int][]string{}
	for _, row := range errs.Table() {
		byExit[row.Exit] = append(byExit[row.Exit], fmt.Sprintf("[%s](errors.md#%s)", row.Code, row.Code))
	}
	for exit := 1; exit < exitInterrupted; exit++ {
		if codes := byExit[exit]; len(codes) > 0 {
			fmt.Fprintf(b, "| %d | %s |\n", exit, strings.Join(codes, ", "))
		}
	}
	fmt.Fprintf(b, "| %d | none: Ctrl-C ended it |\n\n", exitInterrupted)
	b.WriteString("`gesta serve` ends with 2 too when a setting is invalid. A defect that stops the whole process ends with 2 as well, which Go decides: its output then begins with `panic:` or `fatal error:`.\n\n")
}

func flagRow(b *strings.Builder, f *kong.Flag) {
	fmt.Fprintf(b, "| `%s` | %s |\n", flagText(f), cell(f.Help+envText(f)))
}

// envText names the variable that gives a flag its value.
func envText(f *kong.Flag) string {
	if len(f.Envs) == 0 {
		return ""
	}
	return " In the environment: `" + strings.Join(f.Envs, "`, `") + "`."
}

func flagText(f *kong.Flag) string {
	text := "--" + f.Name
	if f.Short != 0 {
		text = "-" + string(f.Short) + ", " + text
	}
	if !f.IsBool() {
		text += "=" + strings.ReplaceAll(strings.Trim(f.FormatPlaceHolder(), `"`), "|", `\|`)
	}
	return text
}

// cell is text that a table's cell can hold.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

func commandSection(b *strings.Builder, path []string, n *kong.Node) {
	fmt.Fprintf(b, "%s gesta %s\n\n%s\n\n", strings.Repeat("#", len(path)+1), strings.Join(path, " "), n.Help)
	if len(n.Children) > 0 {
		detail(b, n.Detail)
		return
	}
	fmt.Fprintf(b, "    gesta %s\n\n", n.Summary())
	detail(b, n.Detail)
	arguments(b, n)
	flagTable(b, n)
	if taken := sharedOf(n); len(taken) > 0 {
		fmt.Fprintf(b, "Takes the [flags of many commands](#flags-of-many-commands) `%s`.\n\n", strings.Join(taken, "`, `"))
	}
}

func detail(b *strings.Builder, text string) {
	if text != "" {
		fmt.Fprintf(b, "%s\n\n", text)
	}
}

func arguments(b *strings.Builder, n *kong.Node) {
	if len(n.Positional) == 0 {
		return
	}
	b.WriteString("| argument | what |\n|---|---|\n")
	for _, p := range n.Positional {
		fmt.Fprintf(b, "| `%s` | %s |\n", cell(p.Summary()), cell(p.Help))
	}
	b.WriteString("\n")
}

// flagTable leaves out what stands elsewhere: the shared flags, and the settings of the node.
func flagTable(b *strings.Builder, n *kong.Node) {
	settings := false
	var own []*kong.Flag
	for _, f := range n.Flags {
		switch {
		case f.Hidden || f.Name == "help" || slices.Contains(shared, f.Name) && !ownForm(f):
		case n.Name == "serve" && isSetting(f):
			settings = true
		default:
			own = append(own, f)
		}
	}
	if len(own) > 0 {
		b.WriteString("| flag | what |\n|---|---|\n")
		for _, f := range own {
			flagRow(b, f)
		}
		b.WriteString("\n")
	}
	if settings {
		b.WriteString("Every setting is a flag too: see [configuration](configuration.md).\n\n")
	}
}

// ownForm tells a command's own flag from the shared one of the same name: export has one form of output only.
func ownForm(f *kong.Flag) bool {
	return f.Name == "output" && !strings.Contains(f.FormatPlaceHolder(), "table")
}

func isSetting(f *kong.Flag) bool {
	return slices.ContainsFunc(node.Fields(), func(s node.Field) bool { return s.Flag() == f.Name })
}

func sharedOf(n *kong.Node) []string {
	var taken []string
	for _, f := range n.Flags {
		if !f.Hidden && slices.Contains(shared, f.Name) && !ownForm(f) {
			taken = append(taken, "--"+f.Name)
		}
	}
	return taken
}
