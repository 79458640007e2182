package docs

import (
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// step is one command of a page, with what it must do; or, without a command, the interrupt of the node, or a file to save.
type step struct {
	line      int
	command   string
	exit      int
	output    []string
	typed     string // a line for the terminal in which gesta dev runs
	interrupt bool   // the command, or without one the node, gets an interrupt
	file      string
	content   string
}

var varies = regexp.MustCompile(` *… *`)

var exitMark = regexp.MustCompile(`# exits with (\d+)`)

// steps gives what a page does, from top to bottom.
func (p page) steps(t *testing.T) []step {
	t.Helper()
	var all []step
	for _, b := range p.blocks {
		if b.file != "" {
			all = append(all, step{line: b.line, file: b.file, content: b.text})
		}
		if b.kind == "console" {
			all = append(all, consoleSteps(t, p.name, b)...)
		}
	}
	return all
}

func consoleSteps(t *testing.T, name string, b block) []step {
	t.Helper()
	var all []step
	for i, line := range strings.Split(strings.TrimSuffix(b.text, "\n"), "\n") {
		command, isCommand := strings.CutPrefix(line, "$ ")
		typed, isTyped := strings.CutPrefix(line, "dev> ")
		more, goesOn := strings.CutPrefix(line, "> ")
		switch {
		case isCommand:
			all = append(all, step{line: b.line + 1 + i, command: command})
		case isTyped:
			all = append(all, step{line: b.line + 1 + i, typed: typed})
		case line == "^C" && len(all) > 0 && strings.Contains(all[len(all)-1].command, "--follow"):
			all[len(all)-1].interrupt = true
		case line == "^C":
			all = append(all, step{line: b.line + 1 + i, interrupt: true})
		case len(all) == 0 || all[len(all)-1].command == "":
			t.Errorf("%s:%d: output without a command", name, b.line+1+i)
		case goesOn && len(all[len(all)-1].output) == 0:
			all[len(all)-1].command += "\n" + more
		default:
			all[len(all)-1].output = append(all[len(all)-1].output, line)
		}
	}
	for i := range all {
		if m := exitMark.FindStringSubmatch(all[i].command); m != nil {
			all[i].exit, _ = strconv.Atoi(m[1])
		}
	}
	return all
}

// matches tells whether got is the output that the page shows.
func (s step) matches(got string) bool {
	if len(s.output) == 0 {
		return true
	}
	var want strings.Builder
	want.WriteString(`\A`)
	for _, line := range s.output {
		if strings.TrimSpace(line) == "…" {
			want.WriteString(`(?:.*\n)*?`)
			continue
		}
		// What varies is shorter on the page; the spaces around it keep its columns straight.
		want.WriteString(varies.ReplaceAllString(regexp.QuoteMeta(strings.TrimRight(line, " ")), " *.*? *") + ` *\n`)
	}
	want.WriteString(`\z`)
	if got != "" && !strings.HasSuffix(got, "\n") {
		got += "\n"
	}
	return regexp.MustCompile(want.String()).MatchString(got)
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		output []string
		got    string
		want   bool
	}{
		{nil, "anything", true},
		{[]string{"a"}, "a\n", true},
		{[]string{"a"}, "a\nb\n", false},
		{[]string{"a", "…"}, "a\nb\nc\n", true},
		{[]string{"…", "c"}, "a\nb\nc", true},
		{[]string{"a … (c)"}, "a b (c)\n", true},
		{[]string{"a … (c)"}, "a\n(c)\n", false},
		{[]string{"b"}, "a\nb\n", false},
	} {
		if got := (step{output: c.output}).matches(c.got); got != c.want {
			t.Errorf("%q matches %q: %v", c.output, c.got, got)
		}
	}
}
