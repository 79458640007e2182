package cli

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

func printed(t *testing.T, width int, rows ...[]string) string {
	t.Helper()
	var out bytes.Buffer
	tab := newTable(&out, width, column{title: "n", right: true}, column{title: "key", min: 6}, column{title: "data", min: 8})
	for _, r := range rows {
		if err := tab.row(r...); err != nil {
			t.Fatal(err)
		}
	}
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestTableAligns(t *testing.T) {
	got := printed(t, 0, []string{"1", "日本", "x"}, []string{"20", "abcdef", "y\n"})
	want := " n  key     data\n" +
		" 1  日本    x\n" +
		"20  abcdef  y\\n\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestTableFitsTheTerminal(t *testing.T) {
	long := strings.Repeat("日本語", 40)
	for width := 12; width < 140; width += 7 {
		for _, line := range strings.Split(printed(t, width, []string{"1", long, long}, []string{"2", "k", "v"}), "\n") {
			if cells(line) > width {
				t.Errorf("a line of %d columns on a terminal of %d: %q", cells(line), width, line)
			}
		}
	}
}

func TestTableTakesTheDataFirst(t *testing.T) {
	got := printed(t, 24, []string{"1", "abcdefgh", strings.Repeat("d", 100)})
	if !strings.Contains(got, "abcdefgh") || !strings.Contains(got, "dddd…") {
		t.Errorf("the key was cut before the data:\n%s", got)
	}
}

func TestTableWithoutRowsIsSilent(t *testing.T) {
	if got := printed(t, 80); got != "" {
		t.Errorf("printed %q", got)
	}
}

func TestLongTableStreams(t *testing.T) {
	var out bytes.Buffer
	tab := newTable(&out, 0, column{title: "n"})
	for i := range page {
		if err := tab.row(fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	if tab.waiting != nil {
		t.Errorf("%d rows wait after a page", len(tab.waiting))
	}
	if err := tab.row("a wider one than any before"); err != nil {
		t.Fatal(err)
	}
	if err := tab.flush(); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(out.String(), "\n"); n != page+2 {
		t.Errorf("%d lines, want %d", n, page+2)
	}
	if !strings.HasSuffix(out.String(), "a wider one than any before\n") {
		t.Error("a row that is wider than the first page was cut, though nothing limits it")
	}
}
