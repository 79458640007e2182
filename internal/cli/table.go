package cli

import (
	"bufio"
	"io"
	"strings"
)

// column is one column of a table.
type column struct {
	title string
	right bool // numbers stand to the right
	min   int  // when the table is too wide, the column may shrink to this; 0: never
}

// page is how many rows a table on a terminal shows, and how many are measured before the first is printed.
const page = 100

const gap = "  "

// table prints rows under a header. The widths are those of the first page of rows, so that a table of any length needs memory
// for one page only.
type table struct {
	out     *bufio.Writer
	columns []column
	width   int  // of the terminal; 0: nothing is cut
	bare    bool // without a header
	waiting [][]string
	widths  []int // nil until the first rows were printed
}

func newTable(out io.Writer, width int, columns ...column) *table {
	return &table{out: bufio.NewWriterSize(out, 64<<10), columns: columns, width: width}
}

// row adds a row; its cells may hold anything.
func (t *table) row(values ...string) error {
	for i := range values {
		values[i] = visible(values[i])
	}
	if t.widths != nil {
		return t.print(values)
	}
	t.waiting = append(t.waiting, values)
	if len(t.waiting) < page {
		return nil
	}
	return t.printWaiting()
}

// flush prints what waits. A table without rows prints nothing.
func (t *table) flush() error {
	if err := t.printWaiting(); err != nil {
		return err
	}
	return t.out.Flush()
}

func (t *table) printWaiting() error {
	if len(t.waiting) == 0 {
		return nil
	}
	if t.widths == nil {
		if err := t.begin(); err != nil {
			return err
		}
	}
	for _, r := range t.waiting {
		if err := t.print(r); err != nil {
			return err
		}
	}
	t.waiting = nil
	return nil
}

func (t *table) begin() error {
	t.measure()
	if t.bare {
		return nil
	}
	return t.print(t.titles())
}

func (t *table) titles() []string {
	titles := make([]string, len(t.columns))
	for i, c := range t.columns {
		titles[i] = c.title
	}
	return titles
}

// measure fixes the widths: what the waiting rows need, shrunk to the terminal.
func (t *table) measure() {
	t.widths = make([]int, len(t.columns))
	for i, c := range t.columns {
		t.widths[i] = cells(c.title)
		for _, r := range t.waiting {
			t.widths[i] = max(t.widths[i], cells(r[i]))
		}
	}
	if t.width > 0 {
		t.shrink()
	}
}

// shrink takes from the last column first: it is the one with the data.
func (t *table) shrink() {
	over := len(gap)*(len(t.widths)-1) - t.width
	for _, w := range t.widths {
		over += w
	}
	for i := len(t.widths) - 1; i >= 0 && over > 0; i-- {
		if c := t.columns[i]; c.min > 0 && t.widths[i] > c.min {
			take := min(over, t.widths[i]-c.min)
			t.widths[i] -= take
			over -= take
		}
	}
}

func (t *table) print(values []string) error {
	var line strings.Builder
	for i, v := range values {
		if i > 0 {
			line.WriteString(gap)
		}
		if t.width > 0 {
			v = cut(v, t.widths[i])
		}
		line.WriteString(pad(v, t.widths[i], t.columns[i].right))
	}
	text := strings.TrimRight(line.String(), " ")
	if t.width > 0 {
		text = cut(text, t.width)
	}
	_, err := t.out.WriteString(text + "\n")
	return err
}
