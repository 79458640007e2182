package cli

import (
	"bufio"
	"encoding/json"
)

// output is the choice between people and programs.
type output struct {
	Output string `short:"o" enum:"auto,table,json" default:"auto" placeholder:"table|json" help:"A table, or one JSON object a line. By default a table, on a terminal cut to its width and to 100 rows."`
}

func (o output) json() bool { return o.Output == "json" }

// cutting tells whether the table is made for a screen: cut to its width, and a page long.
func (o output) cutting(w World) bool {
	return o.Output == "table" || o.Output == "auto" && w.OutTerminal
}

// width is that of the table; 0 means that nothing is cut.
func (o output) width(w World) int {
	if o.cutting(w) {
		return w.Width
	}
	return 0
}

// lines writes JSON objects, one a line.
type lines struct {
	out      *bufio.Writer
	terminal bool
}

func newLines(w World) *lines {
	return &lines{out: bufio.NewWriterSize(w.Out, 64<<10), terminal: w.OutTerminal}
}

// write writes one encoded object.
func (l *lines) write(object []byte) error {
	if l.terminal {
		object = visibleJSON(object)
	}
	if _, err := l.out.Write(object); err != nil {
		return err
	}
	return l.out.WriteByte('\n')
}

func (l *lines) flush() error { return l.out.Flush() }

// printJSON writes one object and a line end.
func (a *app) printJSON(v any) error {
	object, err := json.Marshal(v)
	if err != nil {
		return err
	}
	l := newLines(a.World)
	if err := l.write(object); err != nil {
		return err
	}
	return l.flush()
}
