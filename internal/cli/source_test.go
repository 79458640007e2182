package cli

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/gesta-db/gesta/internal/errs"
)

type readLine struct {
	number int
	text   string
	id     string
}

func readSource(t *testing.T, content []byte) []readLine {
	t.Helper()
	s, err := newSource("test", bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Fatal(err)
	}
	var all []readLine
	for {
		text, err := s.next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, readLine{s.line, string(text), s.lineID()})
	}
}

func zipped(t *testing.T, content string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(content)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSourceGivesLinesWithTheirNumbers(t *testing.T) {
	got := readSource(t, []byte("\xef\xbb\xbfone\r\n\n  \ntwo\nthree"))
	want := []struct {
		n    int
		text string
	}{{1, "one"}, {4, "two"}, {5, "three"}}
	if len(got) != len(want) {
		t.Fatalf("got %v", got)
	}
	for i, w := range want {
		if got[i].number != w.n || got[i].text != w.text {
			t.Errorf("line %d is %+v, want %+v", i, got[i], w)
		}
	}
}

func TestSourceUnzips(t *testing.T) {
	content := strings.Repeat("{\"a\":1}\n", 100_000)
	if got := readSource(t, zipped(t, content)); !slices.Equal(got, readSource(t, []byte(content))) {
		t.Error("a zipped source gives other lines or ids than the plain one")
	}
}

func TestBrokenZipIsTold(t *testing.T) {
	whole := zipped(t, strings.Repeat("line\n", 10_000))
	s, err := newSource("cut.gz", bytes.NewReader(whole[:len(whole)/2]), 0)
	for err == nil {
		_, err = s.next()
	}
	if errs.CodeOf(err) != errs.Invalid || !strings.Contains(err.Error(), "cut.gz") {
		t.Errorf("got %v", err)
	}
}

func TestLineIDs(t *testing.T) {
	ids := func(content string) []string {
		var out []string
		for _, l := range readSource(t, []byte(content)) {
			out = append(out, l.id)
		}
		return out
	}
	first := ids("a\na\nb\n")
	if first[0] == first[1] {
		t.Error("two equal lines of a file have the same id")
	}
	if again := ids("a\na\nb\n"); !slices.Equal(first, again) {
		t.Error("a second run gives other ids")
	}
	if grown := ids("a\na\nb\nc\n"); !slices.Equal(first, grown[:3]) {
		t.Error("a line added at the end changes the ids before it")
	}
	if open := ids("a\na\nb"); !slices.Equal(first, open) {
		t.Error("the last line end changes the ids")
	}
	if other := ids("x\na\nb\n"); other[1] == first[1] || other[2] == first[2] {
		t.Error("the same line behind other content has the same id")
	}
	for _, id := range first {
		if len(id) > 256 {
			t.Errorf("the id %q is too long", id)
		}
	}
}

func TestLongLineIsRefusedAndPassed(t *testing.T) {
	content := io.MultiReader(strings.NewReader("a\n"), io.LimitReader(xs{}, maxLine+10), strings.NewReader("\nb\n"))
	s, err := newSource("test", content, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a", "", "b"} {
		got, err := s.next()
		if long := errors.Is(err, errLongLine); long != (want == "") || string(got) != want {
			t.Fatalf("got %.20q, %v; want %q", got, err, want)
		}
	}
	if s.line != 3 {
		t.Errorf("stands at line %d", s.line)
	}
}

type xs struct{}

func (xs) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	return len(p), nil
}
